#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod account;
#[cfg(feature = "tls")]
mod certificates;
mod command;
mod compose;
mod discovery;
mod install;
#[cfg(feature = "kafka")]
mod kafka;
mod percent;
mod pgbouncer;
mod postgres;
mod process;
#[cfg(feature = "prometheus")]
#[cfg_attr(docsrs, doc(cfg(feature = "prometheus")))]
pub mod prometheus;
mod proxy;
mod redis;
mod run;
mod supervisor;
mod sweep;
mod wait;

pub use discovery::{Source, find_binaries};
#[cfg(feature = "kafka")]
#[cfg_attr(docsrs, doc(cfg(feature = "kafka")))]
pub use kafka::{Kafka, KafkaBroker, KafkaBuilder, Listener, scripted};
pub use pgbouncer::{Backend, PgBouncer, PgBouncerBuilder};
pub use postgres::{Database, Postgres, PostgresBuilder};
#[cfg(feature = "prometheus")]
#[cfg_attr(docsrs, doc(cfg(feature = "prometheus")))]
pub use prometheus::Prometheus;
pub use proxy::{Proxy, ProxyBuilder};
pub use redis::{Redis, RedisBuilder, RedisCluster, RedisSentinels, Reply};
