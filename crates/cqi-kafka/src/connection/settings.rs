use std::time::Duration;

use cqi_errors::{Error, Result};

use super::{Sasl, Tls};

/// The longest string of the protocol.
const LONGEST_NAME: usize = 32_767;

/// How to reach brokers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionSettings {
    /// The name that brokers log this client by, and measure its quotas by; `cqi-kafka` by default
    /// (`client.id`).
    pub client_id: String,
    /// How long TCP, TLS, the negotiation of versions and SASL may take together; 10 s by default
    /// (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// The most requests of one connection that await their answers, at least 1; 5 by default
    /// (`max.in.flight.requests.per.connection`).
    pub max_in_flight: usize,
    /// The most bytes that one answer may have, and so the most that are reserved for it; 100 MiB by
    /// default.
    ///
    /// It is reserved when the answer's length is read; what is then read out of it points into it, and
    /// may take as much again. An answer beyond either ends the connection, and the request fails as
    /// `Permanent`. Records come in answers as large as the fetch allows, and one batch
    /// larger than that comes whole.
    pub max_frame_bytes: usize,
    /// How connections are encrypted; not at all by default (`security.protocol`).
    pub tls: Option<Tls>,
    /// Who the client is; nobody by default (`sasl.mechanism`, `sasl.jaas.config`).
    pub sasl: Option<Sasl>,
}

impl ConnectionSettings {
    /// Takes the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            client_id: "cqi-kafka".to_owned(),
            connect_timeout: Duration::from_secs(10),
            max_in_flight: 5,
            max_frame_bytes: 100 << 20,
            tls: None,
            sasl: None,
        }
    }

    /// Says what cannot be.
    pub(crate) fn validate(&self) -> Result<()> {
        let problem = |field, problem| Err(Error::invalid_input(field, problem));
        if self.connect_timeout.is_zero() {
            return problem("connect_timeout", "is 0: nothing connects in no time");
        }
        if self.max_in_flight == 0 {
            return problem("max_in_flight", "is 0: allowed are 1 and more");
        }
        if self.max_frame_bytes == 0 {
            return problem("max_frame_bytes", "is 0: allowed are 1 and more");
        }
        if self.client_id.len() > LONGEST_NAME {
            return problem("client_id", "is longer than 32767 bytes");
        }
        Ok(())
    }
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self::new()
    }
}
