use cqi_errors::{Error, Kind};

/// Why a request failed, and what became of it on the server.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) fate: Fate,
}

/// What became of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server provably did not begin it.
    NotExecuted,
    /// The server answered with an error: its effects are undone.
    Refused,
    /// No answer came: it may have taken effect.
    Unknown,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl Failure {
    pub(crate) fn new(fate: Fate, error: Error) -> Self {
        Self { error, fate }
    }
}

/// Turns an error of the driver into one of ours.
pub(crate) fn postgres(error: &tokio_postgres::Error, target: &str) -> Error {
    Error::new(Kind::Temporary, format!("{target}: {error}"))
}
