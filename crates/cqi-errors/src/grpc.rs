use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{Error, Kind, foreign};

/// When to call again, in milliseconds (gRFC A6, "pushback").
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The longest message sent, in bytes: header lists above 8 KiB are refused on the way, a byte may
/// take three when it is encoded, and the details repeat the text.
const MAX_MESSAGE: usize = 1024;

impl Kind {
    /// Returns the gRPC status code of the kind, as in the table of [`Kind`]. No two kinds share one.
    ///
    /// ```
    /// assert_eq!(cqi_errors::Kind::Conflict.grpc_code(), tonic::Code::Aborted);
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
    pub fn grpc_code(self) -> Code {
        Code::from_i32(i32::from(self.grpc_status()))
    }

    /// Returns what a code means to the client that received it, or `None` for `OK`.
    ///
    /// Beside the codes of the table of [`Kind`]: `ALREADY_EXISTS` and `FAILED_PRECONDITION` are
    /// [`Conflict`](Kind::Conflict), `OUT_OF_RANGE` is [`InvalidInput`](Kind::InvalidInput),
    /// `UNIMPLEMENTED` and `DATA_LOSS` are [`Permanent`](Kind::Permanent).
    ///
    /// ```
    /// use cqi_errors::Kind;
    ///
    /// assert_eq!(Kind::from_grpc_code(tonic::Code::DataLoss), Some(Kind::Permanent));
    /// assert_eq!(Kind::from_grpc_code(tonic::Code::Ok), None);
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
    pub fn from_grpc_code(code: Code) -> Option<Self> {
        Some(match code {
            Code::Ok => return None,
            Code::NotFound => Self::NotFound,
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidInput,
            Code::Unauthenticated => Self::Unauthorized,
            Code::PermissionDenied => Self::Forbidden,
            Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => Self::Conflict,
            Code::ResourceExhausted => Self::RateLimited,
            Code::DeadlineExceeded => Self::Timeout,
            Code::Cancelled => Self::Cancelled,
            Code::Unavailable => Self::Temporary,
            Code::Internal | Code::Unimplemented | Code::DataLoss => Self::Permanent,
            Code::Unknown => Self::Unknown,
        })
    }
}

/// Makes the status for a client: the code of the kind and the public message, at most 1 KiB of it.
///
/// The field of invalid input goes along as `google.rpc.BadRequest`, a
/// [delay](Error::retry_after) as the metadata `grpc-retry-pushback-ms` (gRFC A6) in milliseconds,
/// rounded up, at most 2 147 483 647. The error itself is the status' `source`, which stays in the
/// process: a layer can log what the client does not see.
#[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = error.kind().grpc_code();
        let message = shorten(error.public_message());
        let mut status = match error.field() {
            Some(field) => {
                let details = ErrorDetails::with_bad_request_violation(shorten(field), message);
                Self::with_error_details(code, message, details)
            }
            None => Self::new(code, message),
        };
        if let Some(delay) = error.told_delay() {
            let millis = delay.as_nanos().div_ceil(1_000_000);
            let millis = i32::try_from(millis).unwrap_or(i32::MAX);
            status.metadata_mut().insert(PUSHBACK, millis.into());
        }
        status.set_source(Arc::new(error));
        status
    }
}

/// Takes the status a client received: kind, public message, field and suggested delay survive a
/// round trip; the status is the source.
///
/// The kind is that of the code, but for what tonic itself says of a broken connection: its own
/// timeout (`CANCELLED`) is [`Timeout`](Kind::Timeout), a connection lost under the call
/// (`CANCELLED`, `UNKNOWN`) is [`Temporary`](Kind::Temporary).
///
/// The message becomes public text, as it was on the wire. What a dependency says of *its* client,
/// this service, is seldom true of the service's own client: change the kind with
/// [`with_kind`](Error::with_kind) (which drops the text) before such an error goes on to it.
#[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let kind = kind_of(&status)
            .or_else(|| status.source().map(Kind::of))
            .unwrap_or(Kind::Unknown);
        let message = text(&status).to_owned();
        let field = status
            .get_details_bad_request()
            .and_then(|details| details.field_violations.into_iter().next())
            .map(|violation| violation.field);

        let mut error = match field.filter(|_| kind == Kind::InvalidInput) {
            Some(field) => Self::invalid_input(field, message),
            None if status.message().is_empty() => Self::new(kind, message),
            None => Self::new(kind, message.clone()).with_public(message),
        };
        if let Some(delay) = retry_after(&status) {
            error = error.with_retry_after(delay);
        }
        error.with_source(status)
    }
}

/// Classifies a status; `None` leaves it to its source.
pub(crate) fn kind_of(status: &Status) -> Option<Kind> {
    let kind = Kind::from_grpc_code(status.code()).unwrap_or(Kind::Unknown);
    match (kind, status.source()) {
        (Kind::Unknown, Some(_)) => None,
        // No status from the wire has a source: this one is tonic's own, and its caller still waits.
        (Kind::Cancelled, Some(source)) if foreign::find(source).is_none() => {
            let timeout = foreign::chain(source).any(<dyn StdError>::is::<TimeoutExpired>);
            Some(if timeout {
                Kind::Timeout
            } else {
                Kind::Temporary
            })
        }
        _ => Some(kind),
    }
}

/// Returns the message of a status, or that of its code.
pub(crate) fn text(status: &Status) -> &str {
    match status.message() {
        "" => status.code().description(),
        message => message,
    }
}

/// Reads the pushback of a status; a negative or malformed one suggests no delay.
pub(crate) fn retry_after(status: &Status) -> Option<Duration> {
    let pushback = |metadata: &MetadataMap| metadata.get(PUSHBACK)?.to_str().ok()?.parse().ok();
    pushback(status.metadata()).map(Duration::from_millis)
}

fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_MESSAGE)]
}
