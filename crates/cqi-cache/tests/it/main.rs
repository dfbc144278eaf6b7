//! The cache through its public API.

mod memory;
