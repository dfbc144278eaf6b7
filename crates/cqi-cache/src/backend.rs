use std::time::Duration;

use bytes::Bytes;
use cqi_config::{CacheBackend, CacheConfig};
use cqi_errors::Result;

use crate::memory::Memory;
use crate::redis::Redis;

/// What keeps the values: the same operations on stored bytes everywhere.
///
/// A key is whole: with the prefix, escaped. `keep` is how long the backend has to keep a value,
/// which may be longer than the value is fresh; `None` is for ever.
#[derive(Debug)]
pub(crate) enum Backend {
    Memory(Memory),
    Redis(Redis),
}

impl Backend {
    pub(crate) async fn connect(config: &CacheConfig) -> Result<Self> {
        Ok(match config.backend {
            CacheBackend::Memory => Self::Memory(Memory::new(config)),
            _ => Self::Redis(Redis::connect(config).await?),
        })
    }

    pub(crate) async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        match self {
            Self::Memory(memory) => Ok(memory.get(&key).await),
            Self::Redis(redis) => redis.get(key).await,
        }
    }

    /// One answer for each key, in order.
    pub(crate) async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>> {
        match self {
            Self::Memory(memory) => Ok(memory.get_many(&keys).await),
            Self::Redis(redis) => redis.get_many(keys).await,
        }
    }

    pub(crate) async fn set(&self, key: Bytes, value: Bytes, keep: Option<Duration>) -> Result<()> {
        match self {
            Self::Memory(memory) => {
                memory.set(key, value, keep).await;
                Ok(())
            }
            Self::Redis(redis) => redis.set(key, value, keep).await,
        }
    }

    pub(crate) async fn set_many(
        &self,
        entries: Vec<(Bytes, Bytes)>,
        keep: Option<Duration>,
    ) -> Result<()> {
        match self {
            Self::Memory(memory) => {
                memory.set_many(entries, keep).await;
                Ok(())
            }
            Self::Redis(redis) => redis.set_many(entries, keep).await,
        }
    }

    /// Sets unless what is there has the same or a higher version (bytes 22..30 of both); whether it did.
    pub(crate) async fn set_newer(
        &self,
        key: Bytes,
        value: Bytes,
        keep: Option<Duration>,
    ) -> Result<bool> {
        match self {
            Self::Memory(memory) => Ok(memory.set_newer(key, value, keep).await),
            Self::Redis(redis) => redis.set_newer(key, value, keep).await,
        }
    }

    /// How many there were.
    pub(crate) async fn delete(&self, keys: Vec<Bytes>) -> Result<u64> {
        match self {
            Self::Memory(memory) => Ok(memory.delete(&keys).await),
            Self::Redis(redis) => redis.delete(keys).await,
        }
    }

    /// Whether it can be used now.
    pub(crate) async fn check(&self) -> Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.check().await,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Memory(memory) => memory.close(),
            Self::Redis(redis) => redis.close().await,
        }
    }
}
