//! The cache through its public API.

mod load;
mod memory;
mod redis;
