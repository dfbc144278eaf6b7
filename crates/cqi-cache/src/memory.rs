use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cqi_config::CacheConfig;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use crate::counters::Count;
use crate::entry;

/// What an entry takes besides its key and value: moka's own bookkeeping.
const OVERHEAD: usize = 400;

/// Values in this process, bounded by their bytes.
pub(crate) struct Memory {
    values: Cache<Bytes, Kept>,
    capacity: u64,
    evictions: Arc<Count>,
}

#[derive(Clone)]
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

fn weight(key: &Bytes, value: &Bytes) -> usize {
    OVERHEAD + key.len() + value.len()
}

/// moka's own shows every value.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Memory {
    pub(crate) fn new(config: &CacheConfig) -> Self {
        let evictions = Arc::<Count>::default();
        let count = Arc::clone(&evictions);
        let values = Cache::builder()
            .max_capacity(config.max_size)
            .weigher(|key: &Bytes, kept: &Kept| {
                u32::try_from(weight(key, &kept.value)).unwrap_or(u32::MAX)
            })
            .expire_after(Expiry)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    count.inc();
                }
            })
            .build();
        Self {
            values,
            capacity: config.max_size,
            evictions,
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.values.get(key).map(|kept| kept.value)
    }

    pub(crate) fn set(&self, key: Bytes, value: Bytes, keep: Option<Duration>) {
        if self.has_room(&key, &value) {
            self.values.insert(key, Kept { value, keep });
        } else {
            // What was there is out of date.
            self.values.invalidate(&key);
        }
    }

    /// Sets unless what is there has a higher version; whether it did.
    pub(crate) fn set_newer(&self, key: Bytes, value: Bytes, keep: Option<Duration>) -> bool {
        let has_room = self.has_room(&key, &value);
        let compare = move |there: Option<moka::Entry<Bytes, Kept>>| match there {
            Some(there) if entry::is_outdated_by(&value, &there.value().value) => Op::Nop,
            _ if has_room => Op::Put(Kept { value, keep }),
            _ => Op::Remove,
        };
        !matches!(
            self.values.entry(key).and_compute_with(compare),
            CompResult::Unchanged(_)
        )
    }

    fn has_room(&self, key: &Bytes, value: &Bytes) -> bool {
        let room = weight(key, value) as u64 <= self.capacity;
        if !room {
            self.evictions.inc();
        }
        room
    }

    /// How many there were.
    pub(crate) fn delete(&self, keys: &[Bytes]) -> u64 {
        let there = |key: &&Bytes| self.values.remove(*key).is_some();
        keys.iter().filter(there).count() as u64
    }

    /// How many values there are, and the bytes they take.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.values.run_pending_tasks();
        (self.values.entry_count(), self.values.weighted_size())
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.get()
    }

    pub(crate) fn close(&self) {
        self.values.invalidate_all();
        // moka gives up some thousand at a time.
        let mut left = u64::MAX;
        while left > 0 {
            self.values.run_pending_tasks();
            let now = self.values.entry_count();
            if now >= left {
                break;
            }
            left = now;
        }
    }
}
