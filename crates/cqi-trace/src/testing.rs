//! A collector for tests, which keeps what it receives and misbehaves on demand.

mod collector;
mod fault;
mod received;
mod server;

pub use collector::Collector;
pub use fault::Fault;
pub use received::{ReceivedSpan, SpanKind, SpanStatus, SpanValue};
