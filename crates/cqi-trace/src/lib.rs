#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod context;
mod decision;
mod filter;
mod ids;
mod layer;
mod propagation;
mod spans;
mod tracing;
mod w3c;

pub use crate::tracing::{TraceStats, Tracing};
pub use context::TraceContext;
pub use layer::{RequestTrace, TraceLayer};
pub use propagation::{extract, extract_event};
