//! Real Redis servers, and what becomes of calls when they fail.

mod basics;

use std::time::Duration;

use cqi_cache::{Cache, Key};
use cqi_config::{CacheBackend, CacheConfig};
use cqi_testkit::Redis;

/// Enough for a busy machine, and short enough for a test.
const LONG: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, prost::Message)]
struct Blob {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: bytes::Bytes,
}

impl prost::Name for Blob {
    const NAME: &'static str = "Blob";
    const PACKAGE: &'static str = "test.v1";
}

fn blob(text: impl Into<Vec<u8>>) -> Blob {
    Blob {
        bytes: text.into().into(),
    }
}

fn key(part: impl std::fmt::Display) -> Key {
    Key::new("blob").part(part)
}

fn config_of(address: impl Into<String>) -> CacheConfig {
    CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![address.into()],
        tls: false,
        ..CacheConfig::default()
    }
}

fn config(redis: &Redis) -> CacheConfig {
    config_of(redis.address())
}

async fn connect(redis: &Redis) -> Cache {
    Cache::connect(&config(redis)).await.unwrap()
}
