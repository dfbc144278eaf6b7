use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cqi_errors::{Error, Result};
use tokio::time::{Instant, timeout_at};

use super::Client;
use super::dial::Dial;
use crate::connection::{Connection, Host, Pending};
use crate::wire::Api;

/// A broker over one connection at a time, which is opened again when it broke, with a pause that grows.
///
/// Several callers may use it at once. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    node: i32,
    dial: Dial,
    /// Whether it was opened before.
    opened: AtomicBool,
}

impl Link {
    pub(super) fn new(client: Client, node: i32) -> Self {
        let shared = &client.inner.shared;
        let dial = Dial::new(&shared.settings, &shared.connector);
        Self {
            client,
            node,
            dial,
            opened: AtomicBool::new(false),
        }
    }

    /// Hands the request over, within the timeout from here to the answer, connecting included; when
    /// connecting took most of it, the broker has another third to answer.
    ///
    /// Who waits for the answer and gets an error in its place has to [`Client::refresh`].
    ///
    /// Cancel safe: dropped, nothing was sent, or all of it is.
    pub(crate) async fn begin<R: Api>(&self, request: &R, timeout: Duration) -> Result<Pending<R>> {
        let deadline = Instant::now() + timeout;
        let outcome = async {
            let connection = timeout_at(deadline, self.connection());
            let connection = connection.await.map_err(|_| self.late::<R>(timeout))??;
            let left = deadline.saturating_duration_since(Instant::now());
            // With less, a connection that was slow to open would be closed before it is of use.
            connection.begin(request, left.max(timeout / 3)).await
        };
        outcome.await.inspect_err(|_| self.client.refresh())
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn send<R: Api>(&self, request: &R, timeout: Duration) -> Result<R::Answer> {
        let pending = self.begin(request, timeout).await?;
        let answer = pending.answer().await;
        answer.inspect_err(|_| self.client.refresh())
    }

    async fn connection(&self) -> Result<Connection> {
        self.client.check_open()?;
        self.dial.connection(|| self.host()).await
    }

    /// Where the broker is now.
    fn host(&self) -> Result<Host> {
        if self.opened.swap(true, Ordering::Relaxed) {
            // It broke: what the broker led may be led by another by now.
            self.client.refresh();
        }
        self.client.host(self.node)
    }

    fn late<R: Api>(&self, timeout: Duration) -> Error {
        let (api, broker) = (R::KEY, self.client.describe(self.node));
        Error::timeout(format!(
            "{broker} was not reached within {timeout:?} for {api:?}"
        ))
    }
}
