use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::{addresses, one_part, positive};
use crate::{HumanDuration, HumanSize, Secret};

/// Where cached values are kept, for how long, and how long to wait for them.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct CacheConfig {
    /// What keeps the values. Default: memory.
    pub backend: CacheBackend,
    /// The part that every key begins with, so that services can share a Redis: `assets` makes
    /// `assets:price:btc` of `price:btc`. Default: empty.
    #[garde(length(max = 128))]
    pub key_prefix: String,
    /// How long a value lives that is set without a time of its own. Default: 5m.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub default_ttl: Duration,
    /// How much sooner a loaded value may expire, drawn for each, so that values loaded together
    /// do not expire together: a fraction of its time, from 0 to 1. Default: 0.1.
    #[garde(range(min = 0.0, max = 1.0))]
    pub ttl_jitter: f64,
    /// The longest time to load a value that is not cached. Default: 10s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub load_timeout: Duration,
    /// The most bytes of a value; larger ones are not kept. Default: 1MiB.
    #[serde(with = "HumanSize")]
    #[garde(range(min = 1, max = 512 << 20))]
    pub max_value_size: u64,
    /// The most bytes the memory backend keeps; the least used values go first. Default: 64MiB.
    #[serde(with = "HumanSize")]
    #[garde(range(min = 1))]
    pub max_size: u64,
    /// The Redis servers as `host:port`: one for redis, some nodes of a redis-cluster, or the
    /// sentinels. Default: localhost:6379.
    #[garde(length(min = 1), custom(addresses))]
    pub hosts: Vec<String>,
    /// The user of Redis' access control list. Default: default.
    #[garde(custom(one_part))]
    pub username: String,
    /// The password; any characters. Default: empty.
    pub password: Secret,
    /// The number of the database; a cluster has only 0. Default: 0.
    #[garde(custom(only_zero_in(self.backend)))]
    pub database: u8,
    /// The name under which the sentinels know the primary. Default: mymaster.
    #[garde(length(min = 1), custom(one_part))]
    pub sentinel_service: String,
    /// The password of the sentinels; any characters. Default: empty.
    pub sentinel_password: Secret,
    /// Whether connections are encrypted and the server's certificate verified. Default: true.
    pub tls: bool,
    /// A PEM file of the certificate authorities to trust; the system's when absent. Default: none.
    pub tls_root_cert: Option<PathBuf>,
    /// The connections to each server; one or two share work best. Default: 1.
    #[garde(range(min = 1, max = 1_000))]
    pub connections: u32,
    /// The longest time to open a connection, TLS included. Default: 2s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub connect_timeout: Duration,
    /// The longest time of one command; a cache that is slower is no help. Default: 300ms.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub command_timeout: Duration,
}

/// What keeps the cached values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CacheBackend {
    /// This process, for development and tests.
    #[default]
    Memory,
    /// One Redis server.
    Redis,
    /// A Redis Cluster.
    RedisCluster,
    /// A Redis primary that sentinels watch and replace.
    Sentinel,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            backend: CacheBackend::default(),
            key_prefix: String::new(),
            default_ttl: Duration::from_secs(5 * 60),
            ttl_jitter: 0.1,
            load_timeout: Duration::from_secs(10),
            max_value_size: 1 << 20,
            max_size: 64 << 20,
            hosts: vec!["localhost:6379".to_owned()],
            username: "default".to_owned(),
            password: Secret::default(),
            database: 0,
            sentinel_service: "mymaster".to_owned(),
            sentinel_password: Secret::default(),
            tls: true,
            tls_root_cert: None,
            connections: 1,
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_millis(300),
        }
    }
}

fn only_zero_in(backend: CacheBackend) -> impl FnOnce(&u8, &()) -> garde::Result {
    move |database, ()| match (backend, database) {
        (CacheBackend::RedisCluster, 1..) => {
            Err(garde::Error::new("must be 0: a cluster has no other"))
        }
        _ => Ok(()),
    }
}
