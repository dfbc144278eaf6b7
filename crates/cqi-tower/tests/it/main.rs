//! The layers through their public API, in process and on real servers.
#![allow(clippy::unwrap_used, reason = "what a test prepares must succeed")]

mod allocations;
mod endings;
mod logged;
mod panic_hook;
mod recorder;
mod recover;
mod reject;
mod script;
