#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod format;
mod layer;
mod metrics;
mod text;

pub use format::Format;
pub use layer::{MetricsLayer, RequestMetrics};
pub use metrics::Metrics;
