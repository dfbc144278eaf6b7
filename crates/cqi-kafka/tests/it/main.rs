//! What the crate does, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure wall time and spawn what they join"
)]

mod assignor;
mod client;
mod connection;
mod group;
mod membership;
mod model;
mod producer;
mod producer_model;
mod records;
mod scripted;
