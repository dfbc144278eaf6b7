use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::Error;

/// Says what an error means to its caller: whether to retry, and which status a client gets.
///
/// | Kind | HTTP | gRPC | Retried by default |
/// |---|---|---|---|
/// | [`NotFound`](Kind::NotFound) | 404 | `NOT_FOUND` | no |
/// | [`InvalidInput`](Kind::InvalidInput) | 400 | `INVALID_ARGUMENT` | no |
/// | [`Unauthorized`](Kind::Unauthorized) | 401 | `UNAUTHENTICATED` | no |
/// | [`Forbidden`](Kind::Forbidden) | 403 | `PERMISSION_DENIED` | no |
/// | [`Conflict`](Kind::Conflict) | 409 | `ABORTED` | no |
/// | [`RateLimited`](Kind::RateLimited) | 429 | `RESOURCE_EXHAUSTED` | yes |
/// | [`Timeout`](Kind::Timeout) | 504 | `DEADLINE_EXCEEDED` | yes |
/// | [`Cancelled`](Kind::Cancelled) | 499 | `CANCELLED` | no |
/// | [`Temporary`](Kind::Temporary) | 503 | `UNAVAILABLE` | yes |
/// | [`Permanent`](Kind::Permanent) | 500 | `INTERNAL` | no |
/// | [`Unknown`](Kind::Unknown) | 500 | `UNKNOWN` | no |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The thing asked for does not exist.
    NotFound,
    /// The caller sent something that can never be accepted.
    InvalidInput,
    /// The caller did not prove who it is.
    Unauthorized,
    /// The caller is known and may not do this.
    Forbidden,
    /// The request contradicts the present state; the caller may read again and decide.
    Conflict,
    /// The caller asks too often.
    RateLimited,
    /// A bound on waiting was reached; the work may or may not have been done.
    Timeout,
    /// The caller went away or asked to stop.
    Cancelled,
    /// It failed now and may succeed later.
    Temporary,
    /// It failed and will fail again.
    Permanent,
    /// The error is not one of CQI's and nothing is known about it.
    Unknown,
}

impl Kind {
    /// Returns the kind of the first CQI error in the chain, else that of the first foreign error
    /// CQI can classify, else [`Kind::Unknown`].
    ///
    /// ```
    /// use cqi_errors::{Error, Kind};
    ///
    /// let io = std::io::Error::other(Error::not_found("asset", "btc"));
    /// assert_eq!(Kind::of(&io), Kind::NotFound);
    /// ```
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        let chain = || std::iter::successors(Some(error), |error| next(*error));
        chain()
            .find_map(|error| error.downcast_ref::<Error>())
            .map(Error::kind)
            .or_else(|| chain().find_map(foreign))
            .unwrap_or(Self::Unknown)
    }

    /// Returns the kind's name in snake case, as it appears in logs, metrics and problem types.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::InvalidInput => "invalid_input",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Temporary => "temporary",
            Self::Permanent => "permanent",
            Self::Unknown => "unknown",
        }
    }

    /// Says whether the same call may succeed when it is made again later:
    /// [`Temporary`](Kind::Temporary), [`Timeout`](Kind::Timeout) and
    /// [`RateLimited`](Kind::RateLimited).
    ///
    /// A timed-out call may have been carried out: repeat it only where that does no harm.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Temporary | Self::Timeout | Self::RateLimited)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `io::Error::source` skips the error it wraps, so the chain steps into it by hand.
fn next<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn foreign(error: &(dyn StdError + 'static)) -> Option<Kind> {
    error
        .downcast_ref::<io::Error>()
        .map(|error| of_io(error.kind()))
}

fn of_io(kind: io::ErrorKind) -> Kind {
    use io::ErrorKind as Io;
    match kind {
        Io::NotFound => Kind::NotFound,
        Io::TimedOut => Kind::Timeout,
        Io::InvalidInput => Kind::InvalidInput,
        _ => Kind::Permanent,
    }
}
