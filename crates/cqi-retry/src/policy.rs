use std::fmt;
use std::sync::Arc;

use cqi_errors::{Error, Kind};

/// Says which errors are worth another attempt.
///
/// | Policy | Retries |
/// |---|---|
/// | [`Temporary`](Policy::Temporary), the default | [`Kind::Temporary`], [`Kind::Timeout`], [`Kind::RateLimited`] |
/// | [`All`](Policy::All) | every kind but [`Kind::Cancelled`] |
/// | [`None`](Policy::None) | nothing |
/// | [`when`](Policy::when) | what the function says |
///
/// The kind of an error is its outermost: a permanent error that was caused by a temporary one is
/// not retried. After a timeout, or a connection that broke, the operation may have been carried
/// out: retry only what does no harm when it is done twice.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Retries what [`Kind::is_retryable`] says: what failed now and may succeed later.
    #[default]
    Temporary,
    /// Retries every error but a cancelled one, whose caller asked to stop.
    All,
    /// Retries nothing.
    None,
    /// Retries what the function says; made by [`Policy::when`].
    When(Arc<dyn Fn(&Error) -> bool + Send + Sync>),
}

impl Policy {
    /// Makes a policy of a function.
    ///
    /// ```
    /// use cqi_errors::{Error, Kind};
    /// use cqi_retry::Policy;
    ///
    /// // For operations that must not be done twice: a timeout leaves that open.
    /// let once = Policy::when(|error| error.kind() == Kind::RateLimited);
    /// assert!(once.retries(&Error::rate_limited("quota")));
    /// assert!(!once.retries(&Error::timeout("no answer in 5s")));
    /// ```
    #[must_use]
    pub fn when(retries: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        Self::When(Arc::new(retries))
    }

    /// Says whether the error is worth another attempt.
    #[must_use]
    pub fn retries(&self, error: &Error) -> bool {
        match self {
            Self::Temporary => error.kind().is_retryable(),
            Self::All => error.kind() != Kind::Cancelled,
            Self::None => false,
            Self::When(retries) => retries(error),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Temporary => "Temporary",
            Self::All => "All",
            Self::None => "None",
            Self::When(_) => "When(..)",
        })
    }
}
