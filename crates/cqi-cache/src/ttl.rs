use std::time::Duration;

/// How long a value lives.
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
    /// For this long, at least a millisecond.
    After(Duration),
    /// Until it is deleted, replaced or evicted.
    Never,
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
