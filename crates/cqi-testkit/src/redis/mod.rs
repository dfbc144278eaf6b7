//! Redis servers.

mod address;
mod borrowed;
mod builder;
mod client;
mod cluster;
mod config;
mod group;
mod launch;
mod resp;
mod sentinels;
mod server;
#[cfg(feature = "tls")]
mod tls;

use std::time::Duration;

use cqi_errors::Result;

use address::Address;
pub use builder::RedisBuilder;
pub use cluster::RedisCluster;
pub use resp::Reply;
pub use sentinels::RedisSentinels;
pub use server::Redis;

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(10);

/// Fails where no server answers at a URL; blocks.
pub(crate) fn probe(url: &str) -> Result<()> {
    client::command(&Address::parse(url)?, &["PING"], COMMAND).map(drop)
}
