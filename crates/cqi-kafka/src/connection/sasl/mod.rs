//! Who a client is, proven by a password.

mod exchange;
mod scram;
mod session;

use secrecy::SecretString;

pub(super) use session::Session;

/// Proves to brokers who the client is.
///
/// User and password are taken as they are, in UTF-8: Kafka stores them so and does not prepare them as
/// RFC 4013 (SASLprep) says, nor do its other clients. SCRAM refuses a broker that asks for fewer than
/// 4096 iterations or more than a million, which take about a second, and one that does not know the
/// password itself.
///
/// Where the broker bounds sessions (`connections.max.reauth.ms`, KIP-368), the first request after 85 to
/// 95 % of one proves it anew, on the same connection and in turn, so that requests keep their order.
///
/// Its `Debug` shows the mechanism and the user, never the password.
///
/// ```
/// use cqi_kafka::Sasl;
///
/// let sasl = Sasl::scram_sha_512("billing", "correct horse");
/// assert!(!format!("{sasl:?}").contains("horse"));
/// ```
#[derive(Debug, Clone)]
pub struct Sasl {
    mechanism: Mechanism,
    user: String,
    password: SecretString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Sasl {
    /// Sends the password itself (RFC 4616): only over TLS, or on a network that nobody else reads.
    #[must_use]
    pub fn plain(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::new(Mechanism::Plain, user.into(), password.into())
    }

    /// Proves that both sides know the password, by SCRAM-SHA-256 (RFC 5802, RFC 7677).
    #[must_use]
    pub fn scram_sha_256(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::new(Mechanism::ScramSha256, user.into(), password.into())
    }

    /// Proves that both sides know the password, by SCRAM-SHA-512.
    #[must_use]
    pub fn scram_sha_512(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::new(Mechanism::ScramSha512, user.into(), password.into())
    }

    fn new(mechanism: Mechanism, user: String, password: String) -> Self {
        Self {
            mechanism,
            user,
            password: password.into(),
        }
    }
}

impl Mechanism {
    /// Its name among SASL's mechanisms.
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
