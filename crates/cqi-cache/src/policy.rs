use std::time::Duration;

use crate::Ttl;

/// How [`Cache::get_or_load`](crate::Cache::get_or_load) keeps what it loads.
///
/// A `Duration`, an `Option<Duration>` or a [`Ttl`] is a policy with that time and the rest by default.
///
/// ```
/// use std::time::Duration;
/// use cqi_cache::LoadPolicy;
///
/// let policy = LoadPolicy::new(Duration::from_secs(60))
///     .stale_if_error(Duration::from_secs(600))
///     .not_found(Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct LoadPolicy {
    pub(crate) ttl: Ttl,
    pub(crate) early_refresh: f64,
    pub(crate) stale_if_error: Duration,
    pub(crate) not_found: Option<Duration>,
}

impl LoadPolicy {
    /// Keeps values for a time, from which `cache.ttl_jitter` is taken.
    pub fn new(ttl: impl Into<Ttl>) -> Self {
        Self {
            ttl: ttl.into(),
            early_refresh: 1.0,
            stale_if_error: Duration::ZERO,
            not_found: None,
        }
    }

    /// Sets how eagerly a value is loaded again, in the background, before it expires: XFetch's
    /// beta. Default: 1; 0 turns it off; above 1 earlier.
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.early_refresh = beta;
        self
    }

    /// Keeps values this much longer, for when the loader fails. Default: zero.
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = time;
        self
    }

    /// Keeps the loader's answer that there is no such thing
    /// ([`Kind::NotFound`](cqi_errors::Kind::NotFound)) for a time. Default: not kept.
    pub fn not_found(mut self, ttl: Duration) -> Self {
        self.not_found = Some(ttl);
        self
    }
}

impl<T: Into<Ttl>> From<T> for LoadPolicy {
    fn from(ttl: T) -> Self {
        Self::new(ttl)
    }
}
