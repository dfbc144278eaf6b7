#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod exposition;
mod format;
mod layer;
mod metrics;
#[cfg(feature = "axum")]
mod router;
#[cfg(feature = "serve")]
mod server;
#[cfg(feature = "service")]
mod service;
mod text;

pub use format::Format;
pub use layer::{MetricsLayer, RequestMetrics};
pub use metrics::Metrics;
#[cfg(feature = "serve")]
#[cfg_attr(docsrs, doc(cfg(feature = "serve")))]
pub use server::MetricsServer;
#[cfg(feature = "service")]
#[cfg_attr(docsrs, doc(cfg(feature = "service")))]
pub use service::MetricsService;
