use std::time::Duration;

use bytes::Bytes;
use cqi_config::{CacheBackend, CacheConfig};
use cqi_errors::Result;

use crate::memory::Memory;
use crate::redis::Redis;

/// What keeps the values: the same operations on stored bytes everywhere.
///
/// A key is whole: with the prefix, escaped. `keep` is how long the backend has to keep a value,
/// in whole milliseconds from 1 to 100 years, which may be longer than the value is fresh; `None` is
/// for ever.
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

    /// The host and port that commands go to; a memory backend has none.
    pub(crate) fn server(&self) -> Option<(&str, u16)> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(redis) => Some(redis.server()),
        }
    }

    pub(crate) async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        match self {
            Self::Memory(memory) => Ok(memory.get(&key)),
            Self::Redis(redis) => redis.get(key).await,
        }
    }

    /// The first bytes of a value, at most so many.
    pub(crate) async fn head(&self, key: Bytes, len: usize) -> Result<Option<Bytes>> {
        match self {
            Self::Memory(memory) => Ok(memory
                .get(&key)
                .map(|value| value.slice(..len.min(value.len())))),
            Self::Redis(redis) => redis.head(key, len).await,
        }
    }

    /// One answer for each key, in order.
    pub(crate) async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>> {
        match self {
            Self::Memory(memory) => Ok(keys.iter().map(|key| memory.get(key)).collect()),
            Self::Redis(redis) => redis.get_many(keys).await,
        }
    }

    pub(crate) async fn set(&self, key: Bytes, value: Bytes, keep: Option<Duration>) -> Result<()> {
        match self {
            Self::Memory(memory) => {
                memory.set(key, value, keep);
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
                for (key, value) in entries {
                    memory.set(key, value, keep);
                }
                Ok(())
            }
            Self::Redis(redis) => redis.set_many(entries, keep).await,
        }
    }

    /// Sets unless [`is_outdated_by`](crate::entry::is_outdated_by) what is there; whether it did.
    pub(crate) async fn set_newer(
        &self,
        key: Bytes,
        value: Bytes,
        keep: Option<Duration>,
    ) -> Result<bool> {
        match self {
            Self::Memory(memory) => Ok(memory.set_newer(key, value, keep)),
            Self::Redis(redis) => redis.set_newer(key, value, keep).await,
        }
    }

    /// How many there were.
    pub(crate) async fn delete(&self, keys: Vec<Bytes>) -> Result<u64> {
        match self {
            Self::Memory(memory) => Ok(memory.delete(&keys)),
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
