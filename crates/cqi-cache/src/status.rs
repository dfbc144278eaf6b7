use crate::Cache;
use crate::backend::Backend;
use crate::cache::Inner;

/// What a cache is doing at one moment, and what it has done so far.
///
/// Counts are those of this process, and begin with [`Cache::connect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether the backend can be reached, as far as is known; a memory backend can, until it is closed.
    pub connected: bool,
    /// Connections made again after they were lost.
    pub reconnects: u64,
    /// Values in memory, of the memory backend.
    pub entries: u64,
    /// Bytes that they take, of the memory backend.
    pub size: u64,
    /// Values given up for want of room, of the memory backend.
    pub evictions: u64,
    /// Lookups that found a value.
    pub hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Lookups that found a value past its time.
    pub expired: u64,
    /// Lookups that found what is no value of the type asked for.
    pub rejected: u64,
    /// Operations on the backend that failed.
    pub errors: u64,
    /// Keys that are being loaded.
    pub loading: u64,
    /// Loaders called.
    pub loads: u64,
    /// Loaders that failed, but for want of time. That there is no such value is an answer.
    pub load_errors: u64,
    /// Loaders that timed out, by `cache.load_timeout` or by themselves.
    pub load_timeouts: u64,
    /// Callers that took the value of a loader that ran already.
    pub joined: u64,
    /// Loaders called before the value expired.
    pub refreshed: u64,
    /// Expired values returned, since the loader failed.
    pub served_stale: u64,
    /// Loaded values that could not be stored.
    pub not_kept: u64,
}

impl Cache {
    /// Returns what the cache is doing and has done so far; asks no server.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner().status()
    }
}

impl Inner {
    pub(crate) fn status(&self) -> Status {
        let counters = &self.counters;
        let (mut entries, mut size, mut evictions, mut reconnects) = (0, 0, 0, 0);
        let reachable = match &self.backend {
            Backend::Memory(memory) => {
                (entries, size) = memory.size();
                evictions = memory.evictions();
                true
            }
            Backend::Redis(redis) => {
                reconnects = redis.reconnects();
                redis.is_connected()
            }
        };
        Status {
            connected: reachable && !self.is_closed(),
            reconnects,
            entries,
            size,
            evictions,
            hits: counters.hits.get(),
            misses: counters.misses.get(),
            expired: counters.expired.get(),
            rejected: counters.rejected.get(),
            errors: counters.all_errors().iter().sum(),
            loading: self.loads.under_way() as u64,
            loads: counters.loads.get(),
            load_errors: counters.load_errors.get(),
            load_timeouts: counters.load_timeouts.get(),
            joined: counters.joined.get(),
            refreshed: counters.refreshed.get(),
            served_stale: counters.served_stale.get(),
            not_kept: counters.not_kept.get(),
        }
    }
}
