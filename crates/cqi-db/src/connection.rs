use cqi_errors::{Error, Result};
use deadpool::managed::Object;
use deadpool_postgres::ClientWrapper;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::collect::{Affected, All, One, Only};
use crate::error::{Failure, Fate};
use crate::lifecycle::Lifecycle;
use crate::perform::Request;
use crate::session::Session;
use crate::{FromRow, Pool};

/// A connection checked out of a [`Pool`]; dropping it gives it back.
///
/// It makes one request at a time, so that a cancellation can hit no other. What a user leaves
/// behind, a transaction, advisory locks, settings or temporary tables, is undone in the background before
/// the next user has it.
#[must_use = "a connection goes back to the pool when it is dropped"]
pub struct Connection {
    pub(crate) object: Option<Object<Lifecycle>>,
    pub(crate) pool: Pool,
    /// Nothing has been asked of it since it was checked out.
    pub(crate) fresh: bool,
    _held: TaskTrackerToken,
}

impl Connection {
    /// Runs a query and reads all its rows.
    ///
    /// # Errors
    /// As for [`Pool::query`].
    ///
    /// # Cancel safety
    /// A dropped future takes the connection with it: its query is cancelled on the server in the
    /// background, and later calls fail as Cancelled.
    pub async fn query<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>> {
        Ok(self
            .run(Request::Query(sql, params), All(Vec::new()))
            .await?)
    }

    /// Runs a query that gives one row.
    ///
    /// # Errors
    /// As for [`Pool::query_one`].
    ///
    /// # Cancel safety
    /// As for [`query`](Connection::query).
    pub async fn query_one<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T> {
        Ok(self
            .run(Request::Query(sql, params), One(Only::new()))
            .await?)
    }

    /// Runs a query that gives at most one row.
    ///
    /// # Errors
    /// As for [`Pool::query_opt`].
    ///
    /// # Cancel safety
    /// As for [`query`](Connection::query).
    pub async fn query_opt<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>> {
        Ok(self.run(Request::Query(sql, params), Only::new()).await?)
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// As for [`Pool::execute`].
    ///
    /// # Cancel safety
    /// As for [`query`](Connection::query); the statement may have taken effect.
    pub async fn execute(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        Ok(self.run(Request::Query(sql, params), Affected).await?)
    }

    /// Runs statements without parameters, separated by semicolons. Never build them from input.
    ///
    /// # Errors
    /// As for [`Pool::query`].
    ///
    /// # Cancel safety
    /// As for [`execute`](Connection::execute).
    pub async fn batch_execute(&mut self, sql: &str) -> Result<()> {
        if self.fresh {
            // An ended connection shows here, where repeating is harmless: the server may have
            // committed a part of the batch before it says goodbye.
            self.simple("").await?;
        }
        self.session()?.state.tainted = true;
        Ok(self.simple(sql).await?)
    }

    /// Returns the client of deadpool-postgres and tokio-postgres, for what this crate does not
    /// offer: `COPY`, streams of rows, other libraries. Notifications are not delivered.
    ///
    /// Its calls have no bound, send no cancellation when they are dropped and report the driver's
    /// own errors. The connection is cleaned when it comes back.
    ///
    /// # Errors
    /// Cancelled, when the connection was given up with a dropped query.
    pub fn client(&mut self) -> Result<&mut ClientWrapper> {
        self.fresh = false;
        let session: &mut Session = self.object.as_mut().ok_or_else(given_up)?;
        session.state.tainted = true;
        session.wire.send_away(self.pool.runtime());
        Ok(&mut session.client)
    }

    pub(crate) fn new(object: Object<Lifecycle>, pool: Pool) -> Self {
        let _held = pool.tasks().token();
        Self {
            object: Some(object),
            pool,
            fresh: true,
            _held,
        }
    }

    pub(crate) async fn simple(&mut self, sql: &str) -> Result<(), Failure> {
        self.run(Request::Simple(sql), Affected).await.map(drop)
    }

    pub(crate) fn session(&mut self) -> Result<&mut Session> {
        let object = self.object.as_deref_mut();
        object.map(|session| &mut **session).ok_or_else(given_up)
    }

    pub(crate) fn set_in_transaction(&mut self, yes: bool) {
        if let Some(session) = &mut self.object {
            session.state.in_transaction = yes;
        }
    }

    pub(crate) fn mark_broken(&mut self) {
        if let Some(session) = &mut self.object {
            session.state.broken = true;
        }
    }

    /// Says without a round trip whether requests can no longer reach the server.
    pub(crate) fn is_lost(&mut self) -> bool {
        self.object
            .as_mut()
            .is_none_or(|session| session.state.broken || !session.wire.is_open())
    }

    /// Hands a connection with a request in flight to a task that cancels and cleans it.
    pub(crate) fn abandon(&mut self) {
        self.fresh = false;
        if let Some(object) = self.object.take() {
            self.pool.tidy(object, true);
        }
    }

    /// Changes a connection that has ended for another, in the same state.
    pub(crate) async fn replace(&mut self, deadline: Instant) -> Result<(), Failure> {
        let ended = self.object.take();
        let state = ended
            .as_ref()
            .map(|session| session.state)
            .unwrap_or_default();
        drop(ended.map(Object::take));
        let lost = |error| Failure::new(Fate::NotExecuted, error);
        let bound = crate::bound::after(Instant::now(), self.pool.config().acquire_timeout);
        let object = self
            .pool
            .checkout(deadline.min(bound))
            .await
            .map_err(lost)?;
        let object = self.object.insert(object);
        object.state.in_transaction = state.in_transaction;
        Ok(())
    }
}

/// Says why a connection has no session any more.
pub(crate) fn given_up() -> Error {
    Error::cancelled("the connection was given up with an earlier query that did not end")
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        if object.state.broken {
            drop(Object::take(object));
        } else if !object.is_clean() {
            self.pool.tidy(object, false);
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let peer = self.object.as_ref().map(|session| &session.peer);
        f.debug_struct("Connection")
            .field("peer", &peer)
            .finish_non_exhaustive()
    }
}
