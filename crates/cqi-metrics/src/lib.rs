#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod layer;
mod metrics;

pub use layer::{MetricsLayer, RequestMetrics};
pub use metrics::Metrics;
