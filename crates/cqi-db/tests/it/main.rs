//! Behaviour of the pool against a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure wall time and spawn what they join"
)]

mod cancel;
mod coincidences;
mod faults;
mod hosts;
#[cfg(feature = "migrate")]
mod migrations;
mod pgbouncer;
mod pooler_sessions;
mod pooling;
mod queries;
mod secrets;
mod support;
mod telemetry;
mod tls;
mod transactions;
