use std::fmt;

/// How clients reach a broker: each listener is a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Listener {
    /// In the clear, for everybody; every broker has it.
    Plaintext,
    /// Encrypted, for everybody.
    Ssl,
    /// In the clear, for users with a password.
    SaslPlaintext,
    /// Encrypted, for users with a password.
    SaslSsl,
}

impl Listener {
    /// Returns the name that Kafka has for it, which clients give as `security.protocol`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
