#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod layer;
mod tracing;

pub use crate::tracing::{TraceStats, Tracing};
pub use layer::{RequestTrace, TraceLayer};
