//! The layers through their public API.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test prepares must succeed, and its child process speaks to it"
)]

mod allocations;
mod client;
mod crossing;
mod export;
mod metrics;
mod outage;
mod propagation;
mod requests;
mod server;
mod services;
mod settings;
mod shutdown;
mod spans;
mod tls;
mod traces;
mod w3c;
