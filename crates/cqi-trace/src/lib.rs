#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attributes;
mod begin;
mod client;
mod collector;
mod context;
mod decision;
mod end;
mod events;
mod exporter;
mod filter;
mod ids;
mod layer;
#[cfg(feature = "metrics")]
mod metrics;
mod outage;
mod processor;
mod propagation;
mod queue;
mod resource;
mod spans;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod tracing;
mod w3c;

pub use crate::tracing::Tracing;
pub use client::{CallTrace, TraceClientLayer};
pub use context::TraceContext;
pub use layer::{RequestTrace, TraceLayer};
pub use propagation::{extract, extract_event, inject, inject_event};
pub use queue::TraceStats;
