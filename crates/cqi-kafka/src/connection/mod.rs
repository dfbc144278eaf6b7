//! One connection to one broker.

mod settings;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::wire::Api;
pub use settings::ConnectionSettings;

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) port: u16,
}

/// A connection that is ready for requests: TLS, versions and SASL are behind it.
///
/// Cheap to clone. Its task ends when the last clone is gone or when the connection breaks.
#[derive(Debug, Clone)]
pub(crate) struct Connection {}

/// An answer on its way; dropped, it is read off the connection and forgotten.
#[derive(Debug)]
pub(crate) struct Pending<R: Api> {
    _answer: PhantomData<fn() -> R::Answer>,
}

impl Connection {
    /// Connects within the settings' connect timeout.
    pub(crate) async fn open(host: &Host, settings: &Arc<ConnectionSettings>) -> Result<Self> {
        let _ = (host, settings);
        Err(Error::permanent("not built yet"))
    }

    /// Hands the request over to be written after those before it; waits while the broker throttles
    /// or too many requests are in flight, at most until the timeout.
    ///
    /// The timeout runs from here to the answer; a connection on which one passes is closed.
    pub(crate) async fn begin<R: Api>(&self, request: &R, timeout: Duration) -> Result<Pending<R>> {
        let _ = (request, timeout);
        Err(Error::permanent("not built yet"))
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn send<R: Api>(&self, request: &R, timeout: Duration) -> Result<R::Answer> {
        self.begin(request, timeout).await?.answer().await
    }

    pub(crate) fn is_open(&self) -> bool {
        false
    }
}

impl<R: Api> Pending<R> {
    pub(crate) async fn answer(self) -> Result<R::Answer> {
        Err(Error::permanent("not built yet"))
    }
}
