//! Behaviour of the crate, through its public API, on paused time.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod allocation;
mod backoff;
#[cfg(feature = "tower")]
mod budget;
mod cancellation;
#[cfg(feature = "tower")]
mod layer;
mod limits;
mod retrying;
mod settings;

use std::time::Duration;

use cqi_retry::Backoff;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// 100, 200, 400 .. 1000 ms, without chance.
const STEADY: Backoff = Backoff {
    initial: millis(100),
    max: millis(1000),
    factor: 2.0,
    jitter: 0.0,
};
