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
    /// Takes a reason that goes on from "the connection is closed:".
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
            ..Self::new(Kind::Temporary, "the broker closed it")
        }
    }

    /// The broker sent what does not fit to what it was sent.
    pub(super) fn out_of_step(reason: impl Into<Arc<str>>) -> Self {
        Self::new(Kind::Temporary, reason)
    }

    pub(super) fn silence(api: ApiKey, timeout: Duration) -> Self {
        Self::new(
            Kind::Temporary,
            format!("the broker did not answer {api:?} within {timeout:?}"),
        )
    }

    pub(super) fn from_io(what: &str, error: &io::Error) -> Self {
        if let Some((kind, problem)) = tls::explain(error) {
            return Self::new(kind, problem);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::end_of_stream(),
            _ => Self::new(Kind::Temporary, format!("cannot {what} it: {error}")),
        }
    }

    /// It ended before anything but versions was said.
    pub(super) fn at_once(self) -> Self {
        match self.end_of_stream {
            true => Self::new(
                self.kind,
                "the broker closed it at once: it is going down, or its listener wants TLS or SASL, \
                 or does not want it",
            ),
            false => self,
        }
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// What this means for a request that was not sent.
    pub(super) fn unsent(&self, broker: &Host, api: ApiKey) -> Error {
        self.error(format_args!(
            "{api:?} was not sent to kafka broker {broker}"
        ))
    }

    /// What this means for a request that was sent, as far as is known.
    pub(super) fn unanswered(&self, broker: &Host, api: ApiKey, waited: Duration) -> Error {
        self.error(format_args!(
            "kafka broker {broker} did not answer {api:?}, for {waited:.1?} so far"
        ))
    }

    fn error(&self, what: impl Display) -> Error {
        Error::new(
            self.kind,
            format!("{what}; the connection is closed: {}", self.reason),
        )
    }
}
