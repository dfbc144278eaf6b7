//! The cache through its public API.

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
