use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Kind};
use kafka_protocol::messages::ApiKey;

use super::{Host, tls};

/// Why a connection ended; each of its requests is told.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: Kind,
    reason: Arc<str>,
    /// The broker closed it, and does not say why.
    end_of_stream: bool,
}

impl Failure {
    pub(super) fn new(kind: Kind, reason: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            end_of_stream: false,
        }
    }

    pub(super) fn end_of_stream() -> Self {
        Self {
            end_of_stream: true,
            ..Self::new(Kind::Temporary, "the broker closed the connection")
        }
    }

    /// The broker sent what does not fit to what it was sent.
    pub(super) fn out_of_step(what: impl Display) -> Self {
        Self::new(
            Kind::Temporary,
            format!("the connection is closed, as {what}"),
        )
    }

    pub(super) fn silence(api: ApiKey, timeout: Duration) -> Self {
        Self::out_of_step(format_args!(
            "the broker did not answer {api:?} within {timeout:?}"
        ))
    }

    pub(super) fn from_io(what: &str, error: &io::Error) -> Self {
        if let Some((kind, problem)) = tls::explain(error) {
            return Self::new(kind, problem);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::end_of_stream(),
            _ => Self::new(
                Kind::Temporary,
                format!("cannot {what} the connection: {error}"),
            ),
        }
    }

    /// It ended before anything but versions was said.
    pub(super) fn at_once(self) -> Self {
        match self.end_of_stream {
            true => Self::new(
                self.kind,
                "the broker closed the connection at once: it is going down, or its listener wants \
                 TLS or SASL, or does not want it",
            ),
            false => self,
        }
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// What this means for a request that was not sent.
    pub(super) fn unsent(&self, broker: &Host, api: ApiKey) -> Error {
        Error::new(
            self.kind,
            format!(
                "{api:?} was not sent to kafka broker {broker}: {}",
                self.reason
            ),
        )
    }

    /// What this means for a request that was sent, as far as is known.
    pub(super) fn unanswered(&self, broker: &Host, api: ApiKey, waited: Duration) -> Error {
        Error::new(
            self.kind,
            format!(
                "{api:?} was not answered by kafka broker {broker}, after {waited:.1?}: {}",
                self.reason
            ),
        )
    }
}
