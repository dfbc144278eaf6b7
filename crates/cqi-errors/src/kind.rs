use std::error::Error as StdError;
use std::fmt;

use crate::{Error, foreign};

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
    /// A foreign error tells of the service's own files, sockets and dependencies, never of what
    /// its client sent. So no I/O error becomes a client's 4xx: a missing file of the service is not
    /// the client's 404, and a refused `open` is not the client's 403. Say it with
    /// [`ResultExt::kind`](crate::ResultExt::kind) where the file *is* what the client asked for.
    ///
    /// | [`io::ErrorKind`] | Kind | Because |
    /// |---|---|---|
    /// | `TimedOut` | [`Timeout`](Kind::Timeout) | the work may have been done |
    /// | `ConnectionRefused`, `ConnectionReset`, `ConnectionAborted`, `NotConnected`, `BrokenPipe`, `UnexpectedEof` | [`Temporary`](Kind::Temporary) | a peer restarted or went away |
    /// | `HostUnreachable`, `NetworkUnreachable`, `NetworkDown` | [`Temporary`](Kind::Temporary) | the network may come back |
    /// | `AddrInUse`, `AddrNotAvailable` | [`Temporary`](Kind::Temporary) | a port is free again soon, be it held by the process before or one of the ephemeral ones |
    /// | `Interrupted`, `WouldBlock`, `ResourceBusy`, `ExecutableFileBusy`, `Deadlock`, `StaleNetworkFileHandle`, `OutOfMemory`, no descriptors left (`EMFILE`, `ENFILE`) | [`Temporary`](Kind::Temporary) | another holds what is needed, for now |
    /// | `NotFound`, `PermissionDenied`, `AlreadyExists`, `NotADirectory`, `IsADirectory`, `DirectoryNotEmpty`, `ReadOnlyFilesystem`, `StorageFull`, `QuotaExceeded`, `FileTooLarge`, `NotSeekable`, `CrossesDevices`, `TooManyLinks`, `InvalidFilename` | [`Permanent`](Kind::Permanent) | somebody must change the host first |
    /// | `InvalidInput`, `InvalidData`, `Unsupported`, `ArgumentListTooLong`, `WriteZero` | [`Permanent`](Kind::Permanent) | the same call fails in the same way |
    /// | `Other` and what has no name yet | that of its cause, else [`Unknown`](Kind::Unknown) | nothing is known |
    ///
    /// With feature `tokio`, tokio's `Elapsed` is [`Timeout`](Kind::Timeout); with feature `tower`,
    /// so is that of tower's timeout layer, and `Overloaded` of its load-shed layer is
    /// [`Temporary`](Kind::Temporary); with feature `grpc`, a `tonic::Status` has the kind that
    /// `Error::from` gives it. A parser's error is [`Unknown`](Kind::Unknown): only the caller knows whose text it was.
    ///
    /// [`io::ErrorKind`]: std::io::ErrorKind
    ///
    /// ```
    /// use std::io;
    ///
    /// use cqi_errors::{Error, Kind};
    ///
    /// let wrapped = io::Error::other(Error::not_found("asset", "btc"));
    /// assert_eq!(Kind::of(&wrapped), Kind::NotFound);
    ///
    /// let missing_file = io::Error::from(io::ErrorKind::NotFound);
    /// assert_eq!(Kind::of(&missing_file), Kind::Permanent);
    /// ```
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        foreign::find(error)
            .map(Error::kind)
            .or_else(|| foreign::chain(error).find_map(foreign::classify))
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

    /// Returns the number of the gRPC status code of the kind, as it is in `grpc-status` and in the
    /// table of [`Kind`]. No two kinds share one.
    ///
    /// ```
    /// assert_eq!(cqi_errors::Kind::NotFound.grpc_status(), 5);
    /// ```
    #[must_use]
    pub const fn grpc_status(self) -> u8 {
        match self {
            Self::Cancelled => 1,
            Self::Unknown => 2,
            Self::InvalidInput => 3,
            Self::Timeout => 4,
            Self::NotFound => 5,
            Self::Forbidden => 7,
            Self::RateLimited => 8,
            Self::Conflict => 10,
            Self::Permanent => 13,
            Self::Temporary => 14,
            Self::Unauthorized => 16,
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
