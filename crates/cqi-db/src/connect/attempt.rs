use std::fmt::Write as _;

use cqi_config::{DatabaseConfig, SslMode};
use cqi_errors::Kind;
use tokio_postgres::error::SqlState;

use super::hosts::Host;
use super::startup::CLIENT_CHECK;
use super::tls;
use crate::sqlstate;

/// Why an attempt to connect failed: what a person reads and what a caller may do.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) kind: Kind,
    pub(super) reason: String,
    pub(super) cause: Option<tokio_postgres::Error>,
}

impl Failed {
    pub(super) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            cause: None,
        }
    }

    pub(super) fn from_driver(
        error: tokio_postgres::Error,
        config: &DatabaseConfig,
        host: &Host,
    ) -> Self {
        let (kind, reason) = explain(&error, config, host);
        Self {
            kind,
            reason,
            cause: Some(error),
        }
    }

    /// Whether a second attempt without encryption is due, as libpq makes it for `prefer`.
    pub(super) fn concerns_tls(&self) -> bool {
        self.cause.as_ref().is_some_and(|error| {
            tls::failure(error).is_some()
                || is_refused_tls(error)
                || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
        })
    }

    /// Whether the server knows no `client_connection_check_interval` (before 14) or cannot do it.
    pub(super) fn concerns_client_check(&self) -> bool {
        let error = self
            .cause
            .as_ref()
            .and_then(tokio_postgres::Error::as_db_error);
        error.is_some_and(|error| error.message().contains(CLIENT_CHECK))
    }
}

fn explain(error: &tokio_postgres::Error, config: &DatabaseConfig, host: &Host) -> (Kind, String) {
    if let Some(error) = tls::failure(error) {
        return (tls::kind(error), tls::advice(error, config, host));
    }
    if is_refused_tls(error) {
        let reason = format!(
            "the server offers no TLS and ssl_mode is {}: turn `ssl` on at the server, or set \
             ssl_mode to disable if the network may be trusted",
            name(config.ssl_mode)
        );
        return (Kind::Permanent, reason);
    }
    let Some(answer) = error.as_db_error() else {
        return match error.to_string().as_str() {
            // The driver has no predicates for these either.
            "invalid configuration" | "authentication error" => {
                let advice = "set database.password (CQI_DATABASE_PASSWORD, or its _FILE)";
                (Kind::Permanent, format!("{}; {advice}", chain(error)))
            }
            _ => (Kind::Temporary, chain(error)),
        };
    };
    let advice = match *answer.code() {
        SqlState::INVALID_PASSWORD => "; check database.user and database.password",
        SqlState::INVALID_CATALOG_NAME => "; create it or check database.database",
        _ => "",
    };
    let reason = format!("{} ({}){advice}", answer.message(), answer.code().code());
    // Our own failure, such as one to log in, is not the caller's: never `Unauthorized` or a 4xx.
    let kind = match sqlstate::kind(answer.code().code()) {
        Kind::Temporary | Kind::Timeout => Kind::Temporary,
        _ => Kind::Permanent,
    };
    (kind, reason)
}

/// The driver has no predicate for a server that answers `N`.
fn is_refused_tls(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    let cause = error.source();
    cause.is_some_and(|cause| cause.to_string() == "server does not support TLS")
}

fn chain(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

fn name(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        _ => "verify-full",
    }
}
