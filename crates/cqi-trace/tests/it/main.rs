//! The layers through their public API.
#![allow(clippy::unwrap_used, reason = "what a test prepares must succeed")]

mod crossing;
mod export;
mod outage;
mod requests;
mod server;
mod services;
mod settings;
mod shutdown;
mod spans;
mod tls;
mod traces;
mod w3c;
