//! Redis servers.

mod address;
mod builder;
mod client;
mod cluster;
mod config;
mod launch;
mod resp;
mod sentinels;
mod server;
#[cfg(feature = "tls")]
mod tls;

use address::Address;
pub use builder::RedisBuilder;
pub use cluster::RedisCluster;
pub use resp::Reply;
pub use sentinels::RedisSentinels;
pub use server::Redis;
