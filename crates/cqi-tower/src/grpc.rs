use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode};

/// The [status code](https://grpc.github.io/grpc/core/md_doc_statuscodes.html) of a gRPC call.
///
/// ```
/// use cqi_tower::GrpcStatus;
///
/// assert_eq!(GrpcStatus::from_code(5).to_string(), "NOT_FOUND");
/// assert_eq!(GrpcStatus::from_code(99), GrpcStatus::UNKNOWN);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrpcStatus(u8);

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl GrpcStatus {
    /// The call succeeded.
    pub const OK: Self = Self(0);
    /// The caller went away.
    pub const CANCELLED: Self = Self(1);
    /// No status was sent, or one that is not known.
    pub const UNKNOWN: Self = Self(2);
    /// The time that the caller gave was over.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// The service has no such method.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// The service is broken.
    pub const INTERNAL: Self = Self(13);

    /// Returns the status of a number; one that is not defined is [`UNKNOWN`](Self::UNKNOWN).
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        if usize::from(code) < NAMES.len() {
            Self(code)
        } else {
            Self::UNKNOWN
        }
    }

    /// Returns the number, as it is in `grpc-status`.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Returns the name, such as `NOT_FOUND`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// Says whether the service is at fault, as OpenTelemetry's
    /// [conventions](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/) have it: `UNKNOWN`,
    /// `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`.
    #[must_use]
    pub const fn is_server_error(self) -> bool {
        matches!(self.0, 2 | 4 | 12..=15)
    }

    /// Reads `grpc-status` from a head or from trailers.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get("grpc-status")?;
        Some(parse(value).map_or(Self::UNKNOWN, Self::from_code))
    }

    /// Returns what a client takes from an HTTP status where no `grpc-status` came, as the
    /// [mapping](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md) says.
    pub(crate) fn of_http(status: StatusCode) -> Self {
        Self(match status.as_u16() {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502..=504 => 14,
            _ => 2,
        })
    }
}

fn parse(value: &HeaderValue) -> Option<u8> {
    value.to_str().ok()?.parse().ok()
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
