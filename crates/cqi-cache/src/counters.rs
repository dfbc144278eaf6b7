use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
#[cfg(not(feature = "metrics"))]
use std::time::Duration;

/// What a cache has done so far. Always counted, so that metrics can be registered at any time.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Count,
    pub(crate) misses: Count,
    pub(crate) expired: Count,
    pub(crate) rejected: Count,
    errors: [Count; Operation::ALL.len()],
    /// Loaders that were called.
    pub(crate) loads: Count,
    /// Loaders that failed, but for want of time.
    pub(crate) load_errors: Count,
    pub(crate) load_timeouts: Count,
    /// Callers that took the value of a loader that ran already.
    pub(crate) joined: Count,
    /// Loaders that were called before the value expired.
    pub(crate) refreshed: Count,
    /// Expired values returned, since the loader failed.
    pub(crate) served_stale: Count,
    /// Loaded values that could not be stored.
    pub(crate) not_kept: Count,
    /// How long it takes, where somebody wants to know.
    #[cfg(feature = "metrics")]
    pub(crate) histograms: std::sync::OnceLock<crate::metrics::Histograms>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What is asked of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    GetMany,
    Exists,
    Set,
    SetMany,
    SetVersioned,
    Delete,
}

impl Operation {
    pub(crate) const ALL: [Self; 7] = [
        Self::Get,
        Self::GetMany,
        Self::Exists,
        Self::Set,
        Self::SetMany,
        Self::SetVersioned,
        Self::Delete,
    ];

    /// The label of metrics.
    #[cfg(feature = "metrics")]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetMany => "get_many",
            Self::Exists => "exists",
            Self::Set => "set",
            Self::SetMany => "set_many",
            Self::SetVersioned => "set_versioned",
            Self::Delete => "delete",
        }
    }
}

impl Counters {
    pub(crate) fn errors(&self, operation: Operation) -> &Count {
        &self.errors[operation as usize]
    }

    pub(crate) fn all_errors(&self) -> [u64; Operation::ALL.len()] {
        Operation::ALL.map(|operation| self.errors(operation).get())
    }
}

#[cfg(not(feature = "metrics"))]
impl Counters {
    #[allow(clippy::unused_self, reason = "with metrics it is used")]
    pub(crate) fn time(&self, _: Operation) -> impl Sized + use<> {}

    #[allow(clippy::unused_self, reason = "with metrics it is used")]
    pub(crate) fn load_took(&self, _: Duration) {}
}
