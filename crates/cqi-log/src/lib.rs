#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod fields;
mod filter;
mod guard;
mod hex;
mod json;
mod keys;
mod layer;
mod line;
mod live_filter;
#[cfg(feature = "metrics")]
mod metrics;
mod output;
mod redact;
mod renderer;
#[cfg(feature = "tower")]
mod request;
mod scope;
mod spans;
mod text;
mod timestamp;
mod trace_ids;
mod value;

#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use builder::{Builder, builder, init};
pub use guard::LogGuard;
pub use output::LogStats;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use request::{LogLayer, LogObservation};
