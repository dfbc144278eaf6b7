use std::error::Error as StdError;
use std::fmt;

use cqi_errors::{Error, Kind};
use fred::error::ErrorKind;

/// What Redis or the connection to it said, as the source of a [`cqi_errors::Error`].
///
/// Its text never holds a key's value or a password.
///
/// ```
/// # fn f(error: &cqi_errors::Error) {
/// let full = cqi_cache::RedisError::of(error).and_then(|redis| redis.code()) == Some("OOM");
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisError {
    text: String,
    replied: bool,
}

impl RedisError {
    /// Finds the first one in the chain of an error.
    #[must_use]
    pub fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut chain = std::iter::successors(Some(error), |&error| error.source());
        chain.find_map(|error| error.downcast_ref())
    }

    /// Returns the first word of the server's answer, such as `OOM`, `READONLY` or `NOPERM`; `None`
    /// where it was the connection that failed.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.replied.then(|| code(&self.text)).flatten()
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisError({self})")
    }
}

impl StdError for RedisError {}

impl From<&fred::error::Error> for RedisError {
    fn from(error: &fred::error::Error) -> Self {
        let text = discreet(error.details());
        Self {
            text: plain(text).to_owned(),
            replied: code(text).is_some(),
        }
    }
}

/// Leaves out the arguments, values and passwords, of a command that the server does not know.
pub(super) fn discreet(text: &str) -> &str {
    let cut = text.find(", with args beginning with");
    &text[..cut.unwrap_or(text.len())]
}

/// What a person reads of the `Debug` text of an `io::Error`, which is all that fred keeps.
fn plain(text: &str) -> &str {
    let between = |begin: &str, end: &str| Some(text.split_once(begin)?.1.rsplit_once(end)?.0);
    if text.starts_with("Os {") {
        between("message: \"", "\" }").unwrap_or(text)
    } else if text.starts_with("Custom {") {
        between("error: ", " }").unwrap_or(text).trim_matches('"')
    } else {
        text
    }
}

/// The code of a server's answer: a word in capitals, as no text of the driver begins.
pub(super) fn code(text: &str) -> Option<&str> {
    let word = text.split_ascii_whitespace().next()?;
    (word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(word)
}

/// Says whether a node of a cluster has sent a command elsewhere, as fred says it.
pub(super) fn is_moved(error: &fred::error::Error) -> bool {
    *error.kind() == ErrorKind::Routing && error.details() == "Too many redirections."
}

/// Says what a failed command means to the caller.
pub(super) fn kind(error: &fred::error::Error) -> Kind {
    if let Some(code) = code(error.details()) {
        return kind_of(code, error.details());
    }
    match error.kind() {
        ErrorKind::Timeout => Kind::Timeout,
        ErrorKind::Config
        | ErrorKind::Url
        | ErrorKind::InvalidArgument
        | ErrorKind::InvalidCommand
        | ErrorKind::Parse => Kind::Permanent,
        _ => Kind::Temporary,
    }
}

fn kind_of(code: &str, text: &str) -> Kind {
    match code {
        "ASK" | "BUSY" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "MISCONF" | "NOREPLICAS"
        | "NOTBUSY" | "OOM" | "READONLY" | "TRYAGAIN" | "UNBLOCKED" | "UNKILLABLE" => {
            Kind::Temporary
        }
        "ERR" if text.contains("max number of clients") => Kind::Temporary,
        _ => Kind::Permanent,
    }
}

/// Makes the error of a failed command; `at` says where it failed.
pub(super) fn failed(error: &fred::error::Error, at: impl fmt::Display) -> Error {
    let kind = kind(error);
    let cause = RedisError::from(error);
    let text = match (kind, cause.code()) {
        (Kind::Timeout, _) => format!("redis {at} did not answer in time"),
        (_, Some("OOM")) => format!(
            "redis {at} has no memory left: raise its maxmemory, or set its maxmemory-policy to \
             one that evicts"
        ),
        (_, Some("READONLY")) => format!("redis {at} takes no writes: it is a replica"),
        (_, Some("NOPERM")) => {
            format!("redis {at} does not let cache.username do this: grant it with ACL SETUSER")
        }
        (_, Some("MOVED")) => {
            format!("redis {at} is a node of a cluster: set cache.backend to redis-cluster")
        }
        (_, Some(_)) => format!("redis {at} refused the command"),
        (_, None) => format!("the connection to redis {at} failed"),
    };
    Error::new(kind, text).with_source(cause)
}
