//! What the logger writes, and what it survives.

mod allocations;
mod fields;
mod levels;
mod logs;
mod output;
mod process;
mod spans;
mod text;
#[cfg(feature = "otel")]
mod traces;
