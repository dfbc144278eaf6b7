//! The layers through their public API, in process and on real servers.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "handlers that panic are tested; what a test prepares must succeed"
)]

mod allocations;
#[cfg(feature = "axum")]
mod axum;
mod endings;
mod grpc;
mod hyper;
mod logged;
mod panic_hook;
mod recorder;
mod recover;
mod reject;
mod script;
mod server;
mod surface;
