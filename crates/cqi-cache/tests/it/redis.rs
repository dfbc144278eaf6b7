//! Real Redis servers, and what becomes of calls when they fail.

mod basics;
mod connecting;
mod failover;
mod faults;
mod lifecycle;

use std::time::{Duration, Instant};

use cqi_cache::{Cache, Key};
use cqi_config::{CacheBackend, CacheConfig, Secret};
use cqi_testkit::{Redis, RedisSentinels};

/// Enough for a busy machine, and short enough for a test.
const LONG: Duration = Duration::from_secs(10);

/// How much later than its bound a call may end.
const LENIENCY: Duration = Duration::from_millis(250);
/// A call that does not wait for anything.
const AT_ONCE: Duration = Duration::from_millis(50);

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

fn sentinel_config(sentinels: &RedisSentinels, password: &str, own: &str) -> CacheConfig {
    CacheConfig {
        backend: CacheBackend::Sentinel,
        hosts: sentinels.sentinels().iter().map(Redis::address).collect(),
        sentinel_service: sentinels.name().to_owned(),
        password: Secret::new(password),
        sentinel_password: Secret::new(own),
        ..config_of("")
    }
}

/// Waits until the cache works again, and says how long that took.
async fn back(cache: &Cache) -> Duration {
    let begin = Instant::now();
    while let Err(error) = cache.set(&key("back"), &blob("back"), LONG).await {
        assert!(begin.elapsed() < LONG, "not back: {error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}
