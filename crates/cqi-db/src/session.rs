use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::time::Instant;

use crate::connect::{Canceller, Connected};
use crate::statements::Statements;
use crate::summary::summary;
use crate::wire::Wire;

/// One session on the server: its client, its bytes, its prepared statements.
pub(crate) struct Session {
    // Before the wire: the driver says goodbye once the client is gone.
    pub(crate) client: ClientWrapper,
    pub(crate) wire: Wire,
    pub(crate) statements: Statements,
    pub(crate) state: State,
    pub(crate) canceller: Canceller,
    pub(crate) peer: Peer,
    pub(crate) used: Instant,
    pub(crate) expires: Instant,
    closed: Arc<AtomicU64>,
}

/// What the next user of a session must not find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) in_transaction: bool,
    /// Settings, locks or temporary tables may be left.
    pub(crate) tainted: bool,
    /// It cannot be used again.
    pub(crate) broken: bool,
}

/// The server that a session is on.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) database: Arc<str>,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.database)
    }
}

impl Session {
    pub(crate) fn new(
        connected: Connected,
        statements: Statements,
        database: &Arc<str>,
        lifetime: Duration,
        closed: &Arc<AtomicU64>,
    ) -> Self {
        let now = Instant::now();
        // The wrapper wants a task to end with the client; the wire needs none.
        #[expect(clippy::disallowed_methods, reason = "it ends at once")]
        let no_task = tokio::spawn(std::future::ready(()));
        Self {
            client: ClientWrapper::new(connected.client, no_task),
            wire: Wire::new(connected.driver),
            statements,
            state: State::default(),
            canceller: connected.canceller,
            peer: Peer {
                host: connected.host,
                port: connected.port,
                database: Arc::clone(database),
            },
            used: now,
            expires: crate::bound::after(now, lifetime),
            closed: Arc::clone(closed),
        }
    }

    /// Says whether the next user can have it as it is.
    pub(crate) fn is_clean(&self) -> bool {
        self.state == State::default()
    }

    /// Names a statement and where it runs, for messages.
    pub(crate) fn what(&self, sql: &str) -> String {
        format!("{} on {}", summary(sql), self.peer)
    }

    /// Makes one round trip, which ends when all that was asked before has been answered.
    pub(crate) async fn ping(&mut self) -> Result<(), tokio_postgres::Error> {
        let work = pin!(self.client.check_connection());
        self.wire.drive(work).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}
