#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod catalogue;
mod cells;
mod collector;
mod counter;
mod exemplar;
mod exposition;
mod family;
mod format;
mod gauge;
mod histogram;
mod info;
mod label;
mod layer;
mod metrics;
mod name;
mod observed;
#[cfg(feature = "process")]
mod process;
mod registry;
#[cfg(feature = "axum")]
mod router;
#[cfg(feature = "runtime")]
mod runtime;
mod samples;
#[cfg(feature = "serve")]
mod server;
#[cfg(feature = "service")]
mod service;
mod table;
mod unit;

pub use builder::Builder;
pub use collector::Collector;
pub use counter::Counter;
pub use family::{Family, LabelSet, NamedFamily};
pub use format::Format;
pub use gauge::Gauge;
pub use histogram::Histogram;
pub use layer::{MetricsLayer, RequestMetrics};
pub use metrics::Metrics;
/// Makes a struct a label set, and an enum a label's value; see the [labels](crate#labels).
pub use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
pub use registry::Description;
#[cfg(feature = "serve")]
#[cfg_attr(docsrs, doc(cfg(feature = "serve")))]
pub use server::MetricsServer;
#[cfg(feature = "service")]
#[cfg_attr(docsrs, doc(cfg(feature = "service")))]
pub use service::MetricsService;
pub use unit::Unit;

/// What the derives name, so that `extern crate cqi_metrics as prometheus_client;` is all they need.
#[doc(hidden)]
pub use prometheus_client::encoding;
