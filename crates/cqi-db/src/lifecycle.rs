use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cqi_config::DatabaseConfig;
use cqi_errors::{Error, Result};
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio::time::{Instant, timeout};

use crate::connect::Connector;
use crate::session::Session;
use crate::statements::{Statements, Style};
use crate::status::Counters;

/// Opens sessions for the pool and looks at each before it is used again.
///
/// deadpool-postgres' own manager puts each connection's driver into a task, keeps statements
/// without a bound, cannot tell how a connection ended, and knows no lifetime: so the pool beneath
/// it is used directly.
pub(crate) struct Lifecycle {
    pub(crate) connector: Connector,
    pub(crate) counters: Arc<Counters>,
    /// Opened ahead, for `create`.
    spares: Mutex<Vec<Session>>,
    database: Arc<str>,
    style: Style,
    statement_cache_size: u32,
    max_lifetime: Duration,
    verify_after: Duration,
    /// When a connection did not answer last: others that were idle then will not either.
    silent: Mutex<Option<Instant>>,
    recycle_timeout: Duration,
}

impl Lifecycle {
    pub(crate) fn new(config: &DatabaseConfig, counters: Arc<Counters>) -> Result<Self> {
        Ok(Self {
            connector: Connector::new(config)?,
            counters,
            spares: Mutex::default(),
            silent: Mutex::new(None),
            database: config.database.as_str().into(),
            style: if config.pgbouncer {
                Style::Unnamed
            } else {
                Style::Named
            },
            statement_cache_size: config.statement_cache_size,
            max_lifetime: config.max_lifetime,
            verify_after: config.verify_after,
            recycle_timeout: config.recycle_timeout,
        })
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spares(&self) -> MutexGuard<'_, Vec<Session>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session.
    pub(crate) async fn open(&self) -> Result<Session> {
        let _opening = self.counters.opening();
        let connected = self
            .connector
            .connect()
            .await
            .inspect_err(|_| self.counters.lost())?;
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Session::new(
            connected,
            Statements::new(self.style, self.statement_cache_size),
            &self.database,
            jittered(self.max_lifetime),
            &self.counters.closed,
        ))
    }
}

impl Manager for Lifecycle {
    /// Boxed, since it is moved at each step of a checkout.
    type Type = Box<Session>;
    type Error = Error;

    async fn create(&self) -> Result<Box<Session>> {
        let spare = self.spares().pop();
        match spare {
            Some(session) => Ok(Box::new(session)),
            // Boxed, so that the futures of all callers do not make room for a TLS handshake.
            None => Box::pin(self.open()).await.map(Box::new),
        }
    }

    async fn recycle(&self, session: &mut Box<Session>, _: &Metrics) -> RecycleResult<Error> {
        let now = Instant::now();
        if session.state.broken || !session.wire.is_open() {
            return Err(RecycleError::message("connection ended"));
        }
        if now >= session.expires {
            return Err(RecycleError::message("connection reached its lifetime"));
        }
        if now.saturating_duration_since(session.used) < self.verify_after {
            return Ok(());
        }
        if Some(session.used) < *self.silent() {
            return Err(RecycleError::message(
                "connection is as old as one that went silent",
            ));
        }
        match Box::pin(timeout(self.recycle_timeout, session.ping())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(RecycleError::message("connection does not work")),
            Err(_) => {
                *self.silent() = Some(now);
                Err(RecycleError::message("connection does not answer"))
            }
        }
    }
}

/// Moves a lifetime by up to a tenth, so that connections opened together do not end together.
fn jittered(lifetime: Duration) -> Duration {
    let share = RandomState::new().build_hasher().finish() % 2001;
    let factor = 9_000 + share as u32;
    (lifetime / 10_000).saturating_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_differ_by_a_tenth_at_most() {
        let hour = Duration::from_secs(3600);
        let all: Vec<_> = (0..1000).map(|_| jittered(hour)).collect();
        assert!(
            all.iter()
                .all(|one| (hour * 9 / 10..=hour * 11 / 10).contains(one))
        );
        assert!(all.iter().min() < all.iter().max());
    }
}
