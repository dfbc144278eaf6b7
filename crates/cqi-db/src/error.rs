use std::error::Error as StdError;
use std::fmt;

use cqi_errors::{Error, Kind};
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::{WasNull, WrongType};

use crate::sqlstate;

/// What PostgreSQL or its driver said, as the source of a [`cqi_errors::Error`].
///
/// Its text names the SQLSTATE and the constraint, table or column, and never a parameter: the
/// server puts values of the row into the error's detail, so that is left out.
///
/// ```
/// # fn f(error: &cqi_errors::Error) {
/// let taken = cqi_db::SqlError::of(error)
///     .is_some_and(|sql| sql.constraint() == Some("assets_symbol_key"));
/// # }
/// ```
pub struct SqlError(tokio_postgres::Error, Message);

/// What the server's message may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// The server had seen no parameters.
    Plain,
    /// It may quote a parameter, as `to_tsquery($1)` does.
    MayQuote,
}

impl SqlError {
    /// Finds the first one in the chain of an error.
    #[must_use]
    pub fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut chain = std::iter::successors(Some(error), |&error| error.source());
        chain.find_map(|error| error.downcast_ref())
    }

    /// Returns the SQLSTATE, where the server sent an error.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.code().map(SqlState::code)
    }

    /// Returns the name of the violated constraint.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.0.as_db_error()?.constraint()
    }

    /// Returns the table the error is about.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.as_db_error()?.table()
    }

    /// Returns the column the error is about.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.0.as_db_error()?.column()
    }

    /// Returns the error of tokio-postgres. Its detail may hold values of the row: do not log it.
    #[must_use]
    pub fn postgres(&self) -> &tokio_postgres::Error {
        &self.0
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(error) = self.0.as_db_error() else {
            write!(f, "{}", self.0)?;
            return match self.0.source() {
                // What a type's own reader or writer says may quote the value.
                Some(cause)
                    if !is_transport(&self.0)
                        && !cause.is::<WrongType>()
                        && !cause.is::<WasNull>() =>
                {
                    Ok(())
                }
                Some(cause) => write!(f, ": {cause}"),
                None => Ok(()),
            };
        };
        let code = error.code().code();
        // Errors about data quote the datum in their message.
        let plain = ["08", "23", "25", "40", "53", "55", "57", "P0"];
        let quotes = code.starts_with("22")
            || self.1 == Message::MayQuote && !plain.iter().any(|class| code.starts_with(class));
        f.write_str(if quotes {
            "a value cannot be used"
        } else {
            error.message()
        })?;
        write!(f, " (SQLSTATE {code}")?;
        let parts = [
            ("constraint", error.constraint()),
            ("table", error.table()),
            ("column", error.column()),
        ];
        for (name, value) in parts {
            if let Some(value) = value {
                write!(f, ", {name} {value}")?;
            }
        }
        if code == "26000" {
            f.write_str("; behind a PgBouncer in transaction mode set database.pgbouncer to true")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlError({self})")
    }
}

impl StdError for SqlError {}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(error, Message::Plain)
    }
}

/// Turns an error of the driver into one of ours; `what` says what was being done, and where.
pub(crate) fn postgres(error: tokio_postgres::Error, what: impl fmt::Display) -> Error {
    described(error, what, Message::Plain)
}

pub(crate) fn described(
    error: tokio_postgres::Error,
    what: impl fmt::Display,
    message: Message,
) -> Error {
    let kind = match error.code() {
        Some(code) => sqlstate::kind(code.code()),
        None if is_transport(&error) => Kind::Temporary,
        None => Kind::Permanent,
    };
    Error::new(kind, format!("{what} failed")).with_source(SqlError(error, message))
}

/// Says whether the connection failed, rather than the statement or a value of ours.
pub(crate) fn is_transport(error: &tokio_postgres::Error) -> bool {
    // The driver has no predicate for what it could not encode, such as a NUL in SQL.
    error.to_string() != "error encoding message to server"
        && error
            .source()
            .is_none_or(<dyn StdError>::is::<std::io::Error>)
}

/// Why a request failed, and what became of it on the server.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) fate: Fate,
}

/// What became of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The connection ended, and the server provably had not begun the request.
    NotExecuted,
    /// The server, or this side before it sent anything, refused it: it has no effect.
    Refused,
    /// No answer came: it may have taken effect.
    Unknown,
}

impl Failure {
    pub(crate) fn new(fate: Fate, error: Error) -> Self {
        Self { error, fate }
    }

    pub(crate) fn not_executed(error: Error) -> Self {
        Self::new(Fate::NotExecuted, error)
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self::new(Fate::Refused, error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Says whether the server ended the connection before it looked at another request.
pub(crate) fn is_farewell(error: &DbError) -> bool {
    sqlstate::is_farewell(error.code().code()) && error.parsed_severity() == Some(Severity::Fatal)
}
