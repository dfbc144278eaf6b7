//! What the logger writes, and what it survives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may panic"
)]

mod allocations;
#[cfg(feature = "testing")]
mod capture;
mod fields;
mod levels;
mod logs;
#[cfg(feature = "metrics")]
mod metrics;
mod output;
mod process;
#[cfg(feature = "tower")]
mod requests;
mod spans;
mod text;
#[cfg(feature = "otel")]
mod traces;
