use std::sync::Arc;

use cqi_config::DatabaseConfig;
use cqi_errors::{Error, Result};
use tokio_postgres::types::ToSql;

use crate::connect::Connector;
use crate::lifecycle::Lifecycle;
use crate::{Connection, FromRow};

/// A pool of connections to PostgreSQL.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    sessions: deadpool::managed::Pool<Lifecycle>,
    config: DatabaseConfig,
}

/// What a pool is doing at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Connections that are open.
    pub size: usize,
}

impl Pool {
    /// Opens a pool.
    ///
    /// # Errors
    /// When no host answers within `connect_timeout`.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self> {
        let lifecycle = Lifecycle { connector: Connector::new(config)? };
        let sessions = deadpool::managed::Pool::builder(lifecycle)
            .max_size(config.max_connections as usize)
            .build()
            .map_err(|error| Error::permanent(error.to_string()))?;
        let pool = Self { inner: Arc::new(Inner { sessions, config: config.clone() }) };
        drop(pool.acquire().await?);
        Ok(pool)
    }

    pub(crate) fn config(&self) -> &DatabaseConfig {
        &self.inner.config
    }

    /// Checks out a connection.
    ///
    /// # Errors
    /// Temporary, when none came free within `acquire_timeout`.
    pub async fn acquire(&self) -> Result<Connection> {
        let object = self.inner.sessions.get().await;
        let object = object.map_err(|error| Error::temporary(error.to_string()))?;
        Ok(Connection { object: Some(object), pool: self.clone() })
    }

    /// Acquires a connection and runs `sql` (a BEGIN) as its first request.
    pub(crate) async fn begin(&self, sql: &str) -> Result<Connection> {
        let mut connection = self.acquire().await?;
        connection.simple(sql).await?;
        connection.set_in_transaction(true);
        Ok(connection)
    }

    /// Runs a query and reads all its rows.
    ///
    /// # Errors
    /// By SQLSTATE.
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
    /// By SQLSTATE; `NotFound` without a row.
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
    /// By SQLSTATE.
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
    /// By SQLSTATE.
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        self.acquire().await?.execute(sql, params).await
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
