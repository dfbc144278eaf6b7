use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cqi_config::DatabaseConfig;
use cqi_errors::{Error, Result};
use deadpool::managed::{Object, PoolError};
use deadpool_postgres::{QueueMode, Timeouts};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::ToSql;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bound::after;
use crate::connect::Connector;
use crate::lifecycle::Lifecycle;
use crate::status::Counters;
use crate::{Connection, FromRow, Status, reaper};

/// A pool of connections to one PostgreSQL database. Clones are cheap and share it.
///
/// Every call waits at most `acquire_timeout` for a connection and `query_timeout` for its answer,
/// and ends at most a quarter of a second after that, whatever the server does. Callers are served
/// in the order in which they came.
///
/// The pool's tasks end with [`close`](Pool::close), or when its last handle is dropped.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    sessions: deadpool::managed::Pool<Lifecycle>,
    config: DatabaseConfig,
    counters: Arc<Counters>,
    tasks: TaskTracker,
    runtime: Handle,
    stop: CancellationToken,
}

impl Pool {
    /// Opens a pool with `min_connections` open, at least one to see that there is a database.
    ///
    /// # Errors
    /// - Temporary or Timeout, when no host answers within `connect_timeout`: the message names each
    ///   host and what it said.
    /// - Permanent, when the server refuses the user, the password or the database.
    /// - InvalidInput, when a setting cannot be used; the message names it.
    ///
    /// # Cancel safety
    /// Safe: what was opened is closed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self> {
        if config.max_connections == 0 {
            return Err(Error::invalid_input(
                "database.max_connections",
                "must be at least 1",
            ));
        }
        let counters = Arc::new(Counters::new());
        let lifecycle = Lifecycle::new(config, Arc::clone(&counters))?;
        let sessions = deadpool::managed::Pool::builder(lifecycle)
            .max_size(config.max_connections as usize)
            // The one used last is warm; those at the other end grow old and are closed.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| Error::permanent(error.to_string()))?;
        let pool = Self::from_inner(Arc::new(Inner {
            sessions,
            config: config.clone(),
            counters,
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            stop: CancellationToken::new(),
        }));
        drop(
            pool.sessions()
                .get()
                .await
                .map_err(|error| pool.explain(error))?,
        );
        pool.fill().await?;
        let period = reaper::period(config.idle_timeout, config.max_lifetime);
        let reap = reaper::reap(Arc::downgrade(&pool.inner), period);
        let reap = pool.inner.stop.clone().run_until_cancelled_owned(reap);
        pool.spawn(async move { reap.await.unwrap_or_default() });
        Ok(pool)
    }

    /// Checks out a connection, for what needs one and the same: session settings, advisory locks,
    /// `COPY`.
    ///
    /// # Errors
    /// Temporary, when none came free within `acquire_timeout` or none could be opened; the message
    /// says what the pool's connections are doing and which setting to raise.
    ///
    /// # Cancel safety
    /// Safe: the place in the queue is given up.
    pub async fn acquire(&self) -> Result<Connection> {
        let deadline = after(Instant::now(), self.inner.config.acquire_timeout);
        Ok(Connection::new(
            self.checkout(deadline).await?,
            self.clone(),
        ))
    }

    /// Runs a query and reads all its rows.
    ///
    /// # Errors
    /// As the [crate documentation](crate#errors) says, by SQLSTATE; Temporary, when there is no
    /// connection; Timeout, when `query_timeout` is reached.
    ///
    /// # Cancel safety
    /// The query of a dropped future is cancelled on the server in the background.
    pub async fn query<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>> {
        self.acquire().await?.query(sql, params).await
    }

    /// Runs a query that gives one row.
    ///
    /// # Errors
    /// As for [`query`](Pool::query); NotFound, when there is no row; Permanent, when there are more.
    ///
    /// # Cancel safety
    /// As for [`query`](Pool::query).
    pub async fn query_one<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T> {
        self.acquire().await?.query_one(sql, params).await
    }

    /// Runs a query that gives at most one row.
    ///
    /// # Errors
    /// As for [`query`](Pool::query); Permanent, when there is more than one row.
    ///
    /// # Cancel safety
    /// As for [`query`](Pool::query).
    pub async fn query_opt<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>> {
        self.acquire().await?.query_opt(sql, params).await
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// As for [`query`](Pool::query). After a Temporary or Timeout error it may have taken effect all
    /// the same: a connection that breaks takes the answer with it. Before it is repeated, make it
    /// harmless twice (`ON CONFLICT`, an idempotency key), or look.
    ///
    /// # Cancel safety
    /// As for [`query`](Pool::query); the statement may have taken effect.
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        self.acquire().await?.execute(sql, params).await
    }

    /// Runs statements without parameters, separated by semicolons, such as a schema.
    ///
    /// They are one transaction, unless they say otherwise. Never build them from input.
    ///
    /// # Errors
    /// As for [`query`](Pool::query).
    ///
    /// # Cancel safety
    /// As for [`execute`](Pool::execute).
    pub async fn batch_execute(&self, sql: &str) -> Result<()> {
        self.acquire().await?.batch_execute(sql).await
    }

    /// Returns what the pool is doing and has done.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.counters.status(self.inner.sessions.status())
    }

    /// Closes the pool: callers that wait or come later get a Temporary error, idle connections are
    /// closed at once and the others when they come back. Waits for those, and for the pool's own
    /// tasks, for at most `acquire_timeout`.
    ///
    /// # Cancel safety
    /// The pool is closed; only the waiting ends.
    pub async fn close(&self) {
        self.inner.sessions.close();
        self.inner.stop.cancel();
        self.inner.tasks.close();
        let deadline = after(Instant::now(), self.inner.config.acquire_timeout);
        if timeout_at(deadline, self.inner.tasks.wait()).await.is_err() {
            let left = self.inner.tasks.len();
            tracing::warn!(
                left,
                "the database pool was closed with connections still in use"
            );
        }
    }
}

impl Pool {
    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn downgrade(&self) -> std::sync::Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn config(&self) -> &DatabaseConfig {
        &self.inner.config
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.inner.sessions.manager().connector
    }

    pub(crate) fn sessions(&self) -> &deadpool::managed::Pool<Lifecycle> {
        &self.inner.sessions
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }

    /// Runs a task of the pool, which `close` waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.inner.tasks.spawn_on(task, &self.inner.runtime));
    }

    /// Acquires a connection and runs `sql`, which begins a transaction, as its first request.
    pub(crate) async fn begin_with(&self, sql: &str) -> Result<Connection> {
        let mut connection = self.acquire().await?;
        // Before it is sent: a connection given up midway may have begun.
        connection.set_in_transaction(true);
        connection.simple(sql).await?;
        connection.set_in_transaction(true);
        Ok(connection)
    }

    pub(crate) async fn checkout(&self, deadline: Instant) -> Result<Object<Lifecycle>> {
        match timeout_at(deadline, self.inner.sessions.get()).await {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(error)) => Err(self.explain(error)),
            Err(_) => Err(self.exhausted()),
        }
    }

    /// Opens connections until there are as many as the settings want at least.
    pub(crate) async fn fill(&self) -> Result<()> {
        let config = self.config();
        let least = config.min_connections.min(config.max_connections) as usize;
        let missing = least.saturating_sub(self.status().size);
        if missing == 0 {
            return Ok(());
        }
        // Opened beside the pool: callers keep the idle ones meanwhile.
        let manager = self.sessions().manager();
        let opened = futures_util::future::join_all((0..missing).map(|_| manager.open())).await;
        let mut failed = None;
        for session in opened {
            match session {
                Ok(session) => manager.spares().push(session),
                Err(error) => failed = Some(error),
            }
        }
        // The idle ones are held for a moment, until the pool asks for new ones.
        let mut at_once = Timeouts::new();
        at_once.wait = Some(Duration::ZERO);
        let mut held = Vec::new();
        while !manager.spares().is_empty()
            && let Ok(object) = self.sessions().timeout_get(&at_once).await
        {
            held.push(object);
        }
        drop(held);
        let unused = std::mem::take(&mut *manager.spares());
        drop(unused);
        failed.map_or(Ok(()), Err)
    }

    fn explain(&self, error: PoolError<Error>) -> Error {
        match error {
            PoolError::Backend(error) => error,
            PoolError::Closed => self.closed(),
            error => Error::temporary(error.to_string()),
        }
    }

    pub(crate) fn closed(&self) -> Error {
        Error::temporary(format!(
            "the pool of {} is closed",
            self.connector().target()
        ))
    }

    fn exhausted(&self) -> Error {
        self.inner
            .counters
            .acquire_timeouts
            .fetch_add(1, Ordering::Relaxed);
        let (status, config) = (self.status(), self.config());
        let (target, bound) = (self.connector().target(), config.acquire_timeout);
        let Status {
            in_use,
            max_size,
            waiting,
            opening,
            ..
        } = status;
        let advice = if opening > 0 {
            "the server is slow to accept connections"
        } else {
            "raise database.max_connections, or look for what holds connections so long"
        };
        Error::temporary(format!(
            "no connection to {target} within {bound:?} (database.acquire_timeout): \
             {in_use} of {max_size} in use, {opening} being opened, {waiting} callers waiting; {advice}"
        ))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("target", &self.connector().target())
            .field("status", &self.status())
            .finish()
    }
}
