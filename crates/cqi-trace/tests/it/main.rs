//! The layers through their public API.
#![allow(clippy::unwrap_used, reason = "what a test prepares must succeed")]
mod w3c;
