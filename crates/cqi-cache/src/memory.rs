use std::time::{Duration, Instant};

use bytes::Bytes;
use cqi_config::CacheConfig;
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};

/// Values in this process, bounded by their bytes.
#[derive(Debug)]
pub(crate) struct Memory {
    values: Cache<Bytes, Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    value: Bytes,
    keep: Option<Duration>,
}

struct Expiry;

impl moka::Expiry<Bytes, Kept> for Expiry {
    fn expire_after_create(&self, _: &Bytes, kept: &Kept, _: Instant) -> Option<Duration> {
        kept.keep
    }

    fn expire_after_update(
        &self,
        _: &Bytes,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        kept.keep
    }
}

impl Memory {
    pub(crate) fn new(config: &CacheConfig) -> Self {
        let weigh = |key: &Bytes, kept: &Kept| {
            u32::try_from(key.len() + kept.value.len()).unwrap_or(u32::MAX)
        };
        let values = Cache::builder()
            .max_capacity(config.max_size)
            .weigher(weigh)
            .expire_after(Expiry)
            .build();
        Self { values }
    }

    pub(crate) async fn get(&self, key: &Bytes) -> Option<Bytes> {
        self.values.get(key).await.map(|kept| kept.value)
    }

    pub(crate) async fn get_many(&self, keys: &[Bytes]) -> Vec<Option<Bytes>> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(self.get(key).await);
        }
        values
    }

    pub(crate) async fn set(&self, key: Bytes, value: Bytes, keep: Option<Duration>) {
        self.values.insert(key, Kept { value, keep }).await;
    }

    pub(crate) async fn set_many(&self, entries: Vec<(Bytes, Bytes)>, keep: Option<Duration>) {
        for (key, value) in entries {
            self.set(key, value, keep).await;
        }
    }

    pub(crate) async fn set_newer(&self, key: Bytes, value: Bytes, keep: Option<Duration>) -> bool {
        let newer = async |there: Option<moka::Entry<Bytes, Kept>>| match there {
            Some(there) if there.value().value.get(22..30) >= value.get(22..30) => Op::Nop,
            _ => Op::Put(Kept {
                value: value.clone(),
                keep,
            }),
        };
        let done = self.values.entry(key).and_compute_with(newer).await;
        matches!(done, CompResult::Inserted(_) | CompResult::ReplacedWith(_))
    }

    pub(crate) async fn delete(&self, keys: &[Bytes]) -> u64 {
        let mut deleted = 0;
        for key in keys {
            deleted += u64::from(self.values.remove(key).await.is_some());
        }
        deleted
    }

    pub(crate) fn close(&self) {
        self.values.invalidate_all();
    }
}
