use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::Ttl;
use crate::entry::Header;

/// How [`Cache::get_or_load`](crate::Cache::get_or_load) keeps what it loads.
///
/// A `Duration`, an `Option<Duration>` or a [`Ttl`] is a policy with that time and the rest by
/// default. A policy is small and `Copy`; a service has a few as constants.
///
/// ```
/// use std::time::Duration;
/// use cqi_cache::LoadPolicy;
///
/// const ASSETS: LoadPolicy = LoadPolicy::new(Duration::from_secs(60))
///     .stale_if_error(Duration::from_secs(600))
///     .not_found(Duration::from_secs(5));
///
/// # async fn run<M: prost::Message + prost::Name + Default + 'static>(
/// #     cache: &cqi_cache::Cache, key: &cqi_cache::Key, asset: M,
/// # ) -> cqi_errors::Result<()> {
/// let asset = cache.get_or_load(key, ASSETS, || async { Ok(asset) }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct LoadPolicy {
    pub(crate) ttl: Ttl,
    pub(crate) early_refresh: f64,
    pub(crate) stale_if_error: Duration,
    pub(crate) not_found: Duration,
    pub(crate) keep_newer: bool,
}

impl LoadPolicy {
    /// Keeps values for a time, of which up to `cache.ttl_jitter` is taken off at random.
    ///
    /// For `cache.default_ttl`, or no end at all, there is [`from`](From::from):
    /// `LoadPolicy::from(Ttl::Default)`.
    pub const fn new(ttl: Duration) -> Self {
        Self::of(Ttl::After(ttl))
    }

    const fn of(ttl: Ttl) -> Self {
        Self {
            ttl,
            early_refresh: 1.0,
            stale_if_error: Duration::ZERO,
            not_found: Duration::ZERO,
            keep_newer: false,
        }
    }

    /// Sets how eagerly a value is loaded again, in the background, before it expires.
    ///
    /// This is XFetch's beta. With 1, the default, a value that is read often begins to be loaded
    /// some multiples of its last load's time before it expires; with 2, twice as long before. 0
    /// turns it off. After such a load has failed, none begins for a second, or for the error's
    /// [`retry_after`](Error::retry_after).
    ///
    /// It has to be finite and not negative, or `get_or_load` fails.
    pub const fn early_refresh(mut self, beta: f64) -> Self {
        self.early_refresh = beta;
        self
    }

    /// Keeps values for this much longer than they are good, and returns them where the loader fails
    /// or takes too long. Default: zero.
    ///
    /// A failure that is an answer is returned as it is: that there is no such thing (then the expired
    /// value is deleted), that the caller may not see it, that the input is wrong.
    ///
    /// After a failure the loader is left alone for a second, or for the error's
    /// [`retry_after`](Error::retry_after): calls meanwhile get the expired value at once. That holds
    /// for 1024 keys at a time; the loaders of more are called.
    pub const fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = time;
        self
    }

    /// Keeps the loader's answer that there is no such thing
    /// ([`Kind::NotFound`](cqi_errors::Kind::NotFound)) for a time: calls with such a policy get the
    /// same answer, with the same public text, without a load. Default: zero, not kept.
    ///
    /// Keep it short. What is created meanwhile should be [`set`](crate::Cache::set), or its key
    /// [`delete`](crate::Cache::delete)d.
    pub const fn not_found(mut self, ttl: Duration) -> Self {
        self.not_found = ttl;
        self
    }

    /// Does not store what was loaded over what [`set_versioned`](crate::Cache::set_versioned) put
    /// there meanwhile, by this process or another. Default: it is stored.
    ///
    /// In Redis this takes a script, which its user has to be allowed to run.
    pub const fn keep_newer(mut self) -> Self {
        self.keep_newer = true;
        self
    }

    /// Refuses what cannot be meant.
    pub(crate) fn check(&self) -> Result<()> {
        if self.early_refresh.is_finite() && self.early_refresh >= 0.0 {
            return Ok(());
        }
        Err(Error::permanent(format!(
            "LoadPolicy::early_refresh({}) has to be finite and at least 0",
            self.early_refresh
        )))
    }

    /// Whether it is kept that there is no such thing.
    pub(crate) fn keeps_absence(&self) -> bool {
        !self.not_found.is_zero()
    }

    /// Whether an expired value can be returned at all.
    pub(crate) fn may_be_stale(&self) -> bool {
        !self.stale_if_error.is_zero()
    }

    /// Whether an expired entry can be returned at a time in milliseconds since the Unix epoch.
    pub(crate) fn allows(&self, expired: &Header, now: u64) -> bool {
        let window = u64::try_from(self.stale_if_error.as_millis()).unwrap_or(u64::MAX);
        !expired.absent && now < expired.expires_at.saturating_add(window)
    }
}

impl<T: Into<Ttl>> From<T> for LoadPolicy {
    fn from(ttl: T) -> Self {
        Self::of(ttl.into())
    }
}
