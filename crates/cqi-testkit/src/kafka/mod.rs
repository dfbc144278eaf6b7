//! Apache Kafka brokers.

mod admin;
mod broker;
mod builder;
mod cache;
mod cluster;
mod distribution;
mod java;
mod launch;
mod listener;
mod ports;
mod properties;
pub mod scripted;
mod shared;
#[cfg(feature = "tls")]
mod tls;
mod training;
mod zookeeper;

use cqi_errors::Result;

pub use broker::KafkaBroker;
pub use builder::KafkaBuilder;
pub use cluster::Kafka;
pub use listener::Listener;

/// Fails where no broker answers at an address; blocks.
pub(crate) fn probe(bootstrap: &str) -> Result<()> {
    admin::Brokers::parse(bootstrap)?.cluster().map(drop)
}
