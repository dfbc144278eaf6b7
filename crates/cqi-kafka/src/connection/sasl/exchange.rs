//! The exchange of SASL's messages in Kafka's requests (KIP-43, KIP-152).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cqi_errors::{Error, Result};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use secrecy::ExposeSecret as _;

use super::scram::{First, Hash, Refused, SHA_256, SHA_512};
use super::{Mechanism, Sasl};
use crate::code;
use crate::connection::Host;
use crate::connection::channel::Turn;
use crate::connection::versions::Spoken;
use crate::wire::SaslAuthenticateAnswer;

/// The most of a broker's words that an error repeats.
const LONGEST_QUOTE: usize = 300;

const UNSUPPORTED_MECHANISM: i16 = ResponseError::UnsupportedSaslMechanism.code();
const ILLEGAL_STATE: i16 = ResponseError::IllegalSaslState.code();
const FAILED: i16 = ResponseError::SaslAuthenticationFailed.code();

/// One authentication on one connection.
pub(super) struct Exchange<'a> {
    pub(super) turn: &'a Turn<'a>,
    pub(super) broker: &'a Host,
    pub(super) spoken: &'a Spoken,
    pub(super) sasl: &'a Arc<Sasl>,
}

impl Exchange<'_> {
    /// Proves who the client is; returns how long that holds, zero for as long as the connection.
    pub(super) async fn run(&self) -> Result<Duration> {
        self.handshake().await?;
        let lifetime_ms = match self.sasl.mechanism {
            Mechanism::Plain => self.plain().await,
            Mechanism::ScramSha256 => self.scram(SHA_256).await,
            Mechanism::ScramSha512 => self.scram(SHA_512).await,
        }?;
        Ok(Duration::from_millis(lifetime_ms.try_into().unwrap_or(0)))
    }

    async fn handshake(&self) -> Result<()> {
        let (broker, name) = (self.broker, self.sasl.mechanism.name());
        let request = SaslHandshakeRequest::default().with_mechanism(name.into());
        let version = self.spoken.common::<SaslHandshakeRequest>(broker)?;
        let answer = self.turn.send(&request, version).await?;
        match answer.error_code {
            0 => Ok(()),
            UNSUPPORTED_MECHANISM => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
                Err(Error::permanent(format!(
                    "kafka broker {broker} does not offer SASL {name} on this listener; it offers {}",
                    quote(&offered.join(", "))
                )))
            }
            ILLEGAL_STATE => Err(Error::permanent(format!(
                "kafka broker {broker} asks for no SASL on this listener: name one that does, or \
                 leave `sasl` out of the settings"
            ))),
            refused => Err(code::refused("SASL handshake", refused, self.at())),
        }
    }

    async fn plain(&self) -> Result<i64> {
        let Sasl { user, password, .. } = &**self.sasl;
        if user.contains('\0') || password.expose_secret().contains('\0') {
            return Err(Error::invalid_input(
                "sasl",
                "the user or the password has a NUL character, which PLAIN cannot send",
            ));
        }
        let token = format!("\0{user}\0{}", password.expose_secret());
        let answer = self.send(token).await?;
        Ok(answer.session_lifetime_ms)
    }

    async fn scram(&self, hash: Hash) -> Result<i64> {
        let first = First::new(&self.sasl.user).map_err(|refused| self.broken(&refused))?;
        let answer = self.send(first.message()).await?;
        let challenge = first
            .challenge(&answer.auth_bytes)
            .map_err(|refused| self.broken(&refused))?;
        // Its work is bounded, and not for a thread that serves connections.
        let sasl = Arc::clone(self.sasl);
        let proof =
            tokio::task::spawn_blocking(move || challenge.prove(&first, hash, &sasl.password));
        let proof = proof.await.map_err(|error| {
            Error::temporary(format!("cannot compute the proof for {}", self.at()))
                .with_source(error)
        })?;
        let answer = self.send(proof.message.clone()).await?;
        proof
            .verify(&answer.auth_bytes)
            .map_err(|refused| self.broken(&refused))?;
        Ok(answer.session_lifetime_ms)
    }

    async fn send(&self, token: String) -> Result<SaslAuthenticateAnswer> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token));
        let version = self.spoken.common::<SaslAuthenticateRequest>(self.broker)?;
        let answer = self.turn.send(&request, version).await?;
        match answer.error_code {
            0 => Ok(answer),
            FAILED => {
                let said = answer.error_message.as_deref().unwrap_or_default();
                Err(Error::unauthorized(format!(
                    "{} failed: the broker says {}; check user, password and mechanism",
                    self.at(),
                    quote(said)
                )))
            }
            refused => Err(code::refused("SASL authentication", refused, self.at())),
        }
    }

    fn broken(&self, refused: &Refused) -> Error {
        Error::unauthorized(format!("{} failed at the broker: {refused}", self.at()))
    }

    fn at(&self) -> impl fmt::Display {
        format!(
            "authentication of user {:?} by {} at kafka broker {}",
            self.sasl.user,
            self.sasl.mechanism.name(),
            self.broker
        )
    }
}

/// What a broker says, fit for a line of a log.
fn quote(said: &str) -> String {
    let said: String = said.chars().take(LONGEST_QUOTE).collect();
    format!("{said:?}")
}
