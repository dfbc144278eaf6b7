use std::time::Duration;

/// The longest time that is asked of a backend: what Redis and moka can both count.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How long a value lives.
///
/// A `Duration` is [`Ttl::After`], and `None` is [`Ttl::Default`]; no expiry has to be said.
///
/// ```
/// use std::time::Duration;
/// use cqi_cache::Ttl;
///
/// assert_eq!(Ttl::from(None), Ttl::Default);
/// assert_eq!(Ttl::from(Duration::from_secs(60)), Ttl::After(Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// For `cache.default_ttl`.
    #[default]
    Default,
    /// For this long, in whole milliseconds, rounded up: from one, also for zero, to 100 years.
    After(Duration),
    /// Until it is deleted, replaced or evicted.
    Never,
}

impl Ttl {
    /// The time that a backend can be asked to keep a value; `None` for ever.
    pub(crate) fn resolve(self, default: Duration) -> Option<Duration> {
        let ttl = match self {
            Self::Default => default,
            Self::After(ttl) => ttl,
            Self::Never => return None,
        };
        let millis = ttl.min(LONGEST).as_nanos().div_ceil(1_000_000).max(1);
        Some(Duration::from_millis(
            u64::try_from(millis).unwrap_or(u64::MAX),
        ))
    }
}

impl From<Duration> for Ttl {
    fn from(ttl: Duration) -> Self {
        Self::After(ttl)
    }
}

/// `None` is the default, never "no expiry".
impl From<Option<Duration>> for Ttl {
    fn from(ttl: Option<Duration>) -> Self {
        ttl.map_or(Self::Default, Self::After)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_milliseconds_within_what_backends_can_count() {
        let resolve = |ttl: Duration| Ttl::After(ttl).resolve(Duration::from_secs(7));
        let one = Duration::from_millis(1);
        assert_eq!(resolve(Duration::ZERO), Some(one));
        assert_eq!(resolve(Duration::from_nanos(1)), Some(one));
        assert_eq!(resolve(Duration::from_micros(1_500)), Some(one * 2));
        assert_eq!(resolve(Duration::from_millis(1_500)), Some(one * 1_500));
        assert_eq!(resolve(Duration::MAX), Some(LONGEST));
    }

    #[test]
    fn the_default_is_the_settings_and_never_is_never() {
        let default = Duration::from_secs(7);
        assert_eq!(Ttl::Default.resolve(default), Some(default));
        assert_eq!(Ttl::Never.resolve(default), None);
    }
}
