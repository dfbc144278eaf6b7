use std::error::Error as StdError;
use std::fmt;

use cqi_errors::{Error, Kind};
use tokio_postgres::error::Severity;

use crate::SqlError;

/// Says whether an error means that nobody knows if a COMMIT took effect.
///
/// It has the kind [`Unknown`](Kind::Unknown), which no retry policy repeats by default: look
/// whether the work was done, by an idempotency key for instance, before it is done again.
///
/// ```
/// assert!(!cqi_db::is_outcome_unknown(&cqi_errors::Error::temporary("connection refused")));
/// ```
#[must_use]
pub fn is_outcome_unknown(error: &Error) -> bool {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
        .any(<dyn StdError>::is::<OutcomeUnknown>)
}

pub(super) fn unknown(cause: Error) -> Error {
    Error::new(
        Kind::Unknown,
        "the outcome of COMMIT is unknown: look whether the changes are there before repeating them",
    )
    .with_source(OutcomeUnknown(cause))
}

/// Says whether the server ended the session with this answer: then it may have committed before,
/// as when it is shut down while COMMIT waits for a synchronous replica.
pub(super) fn ends_session(error: &Error) -> bool {
    SqlError::of(error)
        .and_then(|error| error.postgres().as_db_error())
        .is_some_and(|answer| answer.parsed_severity() != Some(Severity::Error))
}

/// Marks an error in the chain.
#[derive(Debug)]
struct OutcomeUnknown(Error);

impl fmt::Display for OutcomeUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for OutcomeUnknown {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
