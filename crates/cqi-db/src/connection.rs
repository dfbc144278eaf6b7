use cqi_errors::{Error, Kind, Result};
use deadpool::managed::Object;
use tokio_postgres::types::ToSql;

use crate::error::{Failure, Fate, postgres};
use crate::lifecycle::Lifecycle;
use crate::session::Session;
use crate::{FromRow, Pool};

/// A connection checked out of a [`Pool`]; dropping it gives it back.
pub struct Connection {
    pub(crate) object: Option<Object<Lifecycle>>,
    pub(crate) pool: Pool,
}

impl Connection {
    pub(crate) fn session(&mut self) -> Result<&mut Session> {
        match &mut self.object {
            Some(object) => Ok(object),
            None => Err(Error::new(Kind::Cancelled, "connection was given up")),
        }
    }

    /// Returns the client of tokio-postgres.
    ///
    /// # Errors
    /// Cancelled, when the connection was given up.
    pub fn client(&mut self) -> Result<&mut tokio_postgres::Client> {
        Ok(&mut self.session()?.client)
    }

    pub(crate) fn raw(&mut self) -> Result<&mut tokio_postgres::Client> {
        Ok(&mut self.session()?.client)
    }

    pub(crate) fn set_in_transaction(&mut self, yes: bool) {
        if let Some(object) = &mut self.object {
            object.in_transaction = yes;
        }
    }

    pub(crate) async fn simple(&mut self, sql: &str) -> Result<(), Failure> {
        let session = self
            .session()
            .map_err(|error| Failure::new(Fate::NotExecuted, error))?;
        let done = session.client.batch_execute(sql).await;
        done.map_err(|error| Failure::new(Fate::Unknown, postgres(&error, &session.host)))
    }

    /// Runs a query and reads all its rows.
    ///
    /// # Errors
    /// By SQLSTATE.
    pub async fn query<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>> {
        let session = self.session()?;
        let rows = session.client.query(sql, params).await;
        let rows = rows.map_err(|error| postgres(&error, &session.host))?;
        rows.iter().map(T::from_row).collect()
    }

    /// Runs a query that gives one row.
    ///
    /// # Errors
    /// By SQLSTATE; `NotFound` without a row.
    pub async fn query_one<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T> {
        let row = self.query_opt(sql, params).await?;
        row.ok_or_else(|| Error::new(Kind::NotFound, "no row"))
    }

    /// Runs a query that gives at most one row.
    ///
    /// # Errors
    /// By SQLSTATE.
    pub async fn query_opt<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>> {
        let mut rows = self.query(sql, params).await?;
        Ok(rows.pop())
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// By SQLSTATE.
    pub async fn execute(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let session = self.session()?;
        let done = session.client.execute(sql, params).await;
        done.map_err(|error| postgres(&error, &session.host))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
