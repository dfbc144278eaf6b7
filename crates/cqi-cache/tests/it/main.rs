//! The cache through its public API.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may panic"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure wall time and spawn what they join"
)]

mod allocations;
mod conformance;
mod contracts;
mod keys;
mod late;
mod load;
mod memory;
mod redis;
mod shared;
mod support;
mod telemetry;
