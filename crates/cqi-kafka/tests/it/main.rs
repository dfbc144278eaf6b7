//! What the crate does, seen from outside.

mod assignor;
mod model;
mod records;
