//! The cache through its public API.

mod memory;
mod redis;
