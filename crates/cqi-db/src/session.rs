use std::sync::Arc;

use deadpool_postgres::ClientWrapper;

use crate::connect::{Canceller, Connected};
use crate::statements::Statements;

/// One session on the server: its client, the task that drives it, its prepared statements.
pub(crate) struct Session {
    pub(crate) client: ClientWrapper,
    pub(crate) canceller: Canceller,
    pub(crate) statements: Statements,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) in_transaction: bool,
}

impl Session {
    pub(crate) fn new(connected: Connected, statements: Statements) -> Self {
        let driver = connected.driver;
        let task = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Self {
            client: ClientWrapper::new(connected.client, task),
            canceller: connected.canceller,
            statements,
            host: connected.host,
            port: connected.port,
            in_transaction: false,
        }
    }
}
