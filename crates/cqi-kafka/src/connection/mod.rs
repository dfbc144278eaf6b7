//! One connection to one broker.

mod buffers;
mod channel;
mod failure;
mod frame;
mod host;
mod open;
mod requests;
mod sasl;
mod settings;
mod tls;
mod transport;
mod versions;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Kind, Result};
use kafka_protocol::messages::ApiKey;
use tokio::sync::oneshot;

use crate::wire::Api;
use channel::Channel;
use failure::Failure;
pub(crate) use host::Host;
pub(crate) use open::Connector;
pub use sasl::Sasl;
use sasl::Session;
pub use settings::ConnectionSettings;
pub use tls::Tls;
use versions::Spoken;
use wait::Wait;

/// A connection that is ready for requests: TLS, versions and SASL are behind it.
///
/// Cheap to clone. Its task ends when the last clone and the last answer on its way are gone, or when
/// the connection breaks: to retire one, drop it, and what it was asked is still answered.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    channel: Channel,
    spoken: Spoken,
    session: Option<Session>,
}

/// An answer on its way; dropped, it is read off the connection and forgotten.
pub(crate) struct Pending<R: Api> {
    connection: Connection,
    answer: oneshot::Receiver<Result<R::Answer>>,
}

impl Connection {
    /// Hands the request over to be written after those before it; waits while the broker throttles
    /// or too many requests are in flight, at most until the timeout.
    ///
    /// The timeout runs from here to the answer; a connection on which one passes is closed.
    ///
    /// # Errors
    /// - `Timeout`: the request could not be sent in time.
    /// - `Permanent`: broker and client have no version of the API in common.
    /// - else, as the connection has ended.
    ///
    /// # Cancel safety
    /// Requests are sent in the order in which their futures were polled first. A dropped future has
    /// sent nothing.
    pub(crate) async fn begin<R: Api>(&self, request: &R, timeout: Duration) -> Result<Pending<R>> {
        let Inner {
            channel,
            spoken,
            session,
        } = &*self.inner;
        let broker = channel.broker();
        let version = spoken.common::<R>(broker)?;
        let turn = channel.turn(R::KEY, Wait::new(timeout)).await?;
        if let Some(session) = session {
            session.renew(&turn, broker, spoken).await?;
        }
        Ok(Pending {
            answer: turn.begin(request, version).await?,
            connection: self.clone(),
        })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn send<R: Api>(&self, request: &R, timeout: Duration) -> Result<R::Answer> {
        self.begin(request, timeout).await?.answer().await
    }

    /// Says whether requests can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.channel.is_open()
    }

    /// Ends the connection at once and waits for its task; requests without an answer fail.
    pub(crate) async fn close(&self) {
        let why = Failure::new(Kind::Cancelled, "this client closed the connection");
        self.inner.channel.close(&why).await;
    }
}

impl<R: Api> Pending<R> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// - `Timeout`: it did not come in time.
    /// - `Permanent`: it is malformed.
    /// - else, as the connection has ended: `Temporary` where another may fare better.
    pub(crate) async fn answer(self) -> Result<R::Answer> {
        self.connection
            .inner
            .channel
            .answered(R::KEY, self.answer)
            .await
    }
}

impl<R: Api> fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let api: ApiKey = R::KEY;
        write!(
            f,
            "Pending({api:?} on {})",
            self.connection.inner.channel.broker()
        )
    }
}

#[cfg(test)]
mod tests;
