use std::sync::atomic::{AtomicU64, Ordering};

use cqi_errors::{Error, Kind, Result};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use super::pauses::Pauses;
use super::settings::ClientSettings;
use crate::connection::{Connection, Connector, Host};

/// One connection at a time, opened by one caller for all who wait for it.
#[derive(Debug)]
pub(super) struct Dial {
    connector: Connector,
    slot: Mutex<Slot>,
    /// How many attempts came to an end.
    ended: AtomicU64,
    closed: watch::Sender<bool>,
}

/// How soon there will be a connection, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Readiness {
    Open,
    /// It can be opened.
    Ready,
    /// It is being opened, or failed lately.
    Paused,
}

#[derive(Debug)]
struct Slot {
    connection: Option<Connection>,
    /// When the last attempt began.
    begun: Option<Instant>,
    /// When the next may begin.
    next: Instant,
    pauses: Pauses,
    /// Why the last attempt failed, for those who waited for it as well.
    failure: Option<(Kind, String)>,
}

impl Dial {
    pub(super) fn new(settings: &ClientSettings, connector: &Connector) -> Self {
        let pauses = Pauses::new(settings.reconnect_backoff, settings.reconnect_backoff_max);
        Self {
            connector: connector.clone(),
            slot: Mutex::new(Slot {
                connection: None,
                begun: None,
                next: Instant::now(),
                pauses,
                failure: None,
            }),
            ended: AtomicU64::new(0),
            closed: watch::Sender::new(false),
        }
    }

    /// Returns the connection, opened first if there is none, to the host that is asked for then:
    /// after the pause that follows an earlier attempt.
    ///
    /// Cancel safe: an attempt given up halfway counts, so that pauses grow all the same.
    pub(super) async fn connection(
        &self,
        host: impl FnOnce() -> Result<Host>,
    ) -> Result<Connection> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(closed_error()),
            outcome = self.open(host) => outcome,
        }
    }

    async fn open(&self, host: impl FnOnce() -> Result<Host>) -> Result<Connection> {
        let ended = self.ended.load(Ordering::Acquire);
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            if connection.is_open() {
                return Ok(connection.clone());
            }
            slot.connection = None;
        }
        if self.ended.load(Ordering::Acquire) != ended
            && let Some((kind, text)) = &slot.failure
        {
            return Err(Error::new(*kind, text.clone()));
        }
        sleep_until(slot.next).await;
        // A host that is not known counts too: who asks again and again is held up here.
        slot.begin();
        let outcome = match host() {
            Ok(host) => self.connector.open(&host).await,
            Err(error) => Err(error),
        };
        slot.failure = outcome
            .as_ref()
            .err()
            .map(|error| (error.kind(), format!("{error:#}")));
        slot.connection = outcome.as_ref().ok().cloned();
        self.ended.fetch_add(1, Ordering::Release);
        outcome
    }

    /// Has the next caller open another connection; this one ends with its last answer.
    pub(super) fn retire(&self) {
        // Who holds the slot is opening one.
        if let Ok(mut slot) = self.slot.try_lock() {
            slot.connection = None;
        }
    }

    /// Closes the connection, waits until it is, and opens none any more.
    pub(super) async fn close(&self) {
        self.closed.send_replace(true);
        if let Some(connection) = self.slot.lock().await.connection.take() {
            connection.close().await;
        }
    }

    /// What a caller has to wait for, as far as can be said without waiting.
    pub(super) fn readiness(&self) -> Readiness {
        match self.slot.try_lock() {
            Ok(slot) if slot.connection.as_ref().is_some_and(Connection::is_open) => {
                Readiness::Open
            }
            Ok(slot) if slot.next <= Instant::now() => Readiness::Ready,
            _ => Readiness::Paused,
        }
    }
}

impl Slot {
    /// Notes the attempt before it is made. A connection that lasted lets the pauses begin anew; one
    /// that was closed at once does not, or a broker that accepts and closes would be hammered.
    fn begin(&mut self) {
        let now = Instant::now();
        let lasted = |begun: Instant| {
            self.failure.is_none() && now.duration_since(begun) > self.pauses.longest() * 2
        };
        if self.begun.is_some_and(lasted) {
            self.pauses.reset();
        }
        self.begun = Some(now);
        self.next = now + self.pauses.next();
    }
}

/// Says that the client was closed.
pub(super) fn closed_error() -> Error {
    Error::cancelled("the Kafka client is closed")
}
