use std::time::Duration;

use cqi_cache::{Cache, Key};
use cqi_config::{CacheBackend, CacheConfig};
use cqi_testkit::Redis;
use tokio::time::{Instant, sleep};

/// Enough for a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Price {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
}

impl prost::Name for Price {
    const NAME: &'static str = "Price";
    const PACKAGE: &'static str = "test.v1";
}

/// The same on the wire as a [`Price`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Volume {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
}

impl prost::Name for Volume {
    const NAME: &'static str = "Volume";
    const PACKAGE: &'static str = "test.v1";
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Blob {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) bytes: bytes::Bytes,
}

impl prost::Name for Blob {
    const NAME: &'static str = "Blob";
    const PACKAGE: &'static str = "test.v1";
}

pub(crate) fn price(value: f64) -> Price {
    Price { value }
}

/// A blob whose message has this many bytes.
pub(crate) fn blob(size: usize) -> Blob {
    let mut blob = Blob {
        bytes: vec![7; size].into(),
    };
    let over = prost::Message::encoded_len(&blob) - size;
    blob.bytes.truncate(size - over);
    assert_eq!(prost::Message::encoded_len(&blob), size);
    blob
}

pub(crate) fn key(part: impl std::fmt::Display) -> Key {
    Key::new("test").part(part)
}

/// A cache, and the server that it is in.
pub(crate) struct Place {
    pub(crate) cache: Cache,
    /// Keeps it running.
    _redis: Option<Redis>,
}

impl Place {
    pub(crate) async fn memory() -> Self {
        let cache = Cache::connect(&CacheConfig::default()).await.unwrap();
        Self {
            cache,
            _redis: None,
        }
    }

    pub(crate) async fn redis() -> Self {
        let redis = Redis::start().await.unwrap();
        let cache = Cache::connect(&config(&redis)).await.unwrap();
        Self {
            cache,
            _redis: Some(redis),
        }
    }
}

pub(crate) fn config(redis: &Redis) -> CacheConfig {
    CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![redis.address()],
        tls: false,
        // A busy machine is not what is tested.
        command_timeout: Duration::from_secs(5),
        ..CacheConfig::default()
    }
}

/// Waits until something is so, and returns how long that took.
pub(crate) async fn until(mut what: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !what().await {
        assert!(start.elapsed() < LONG, "it did not come about");
        sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}
