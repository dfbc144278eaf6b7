//! The messages against the contract, and against what another implementation of protobuf makes of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[cfg(feature = "descriptors")]
mod contract;
mod hostile;
#[cfg(feature = "serde")]
mod json;
mod kinds;
mod presence;
mod vectors;
