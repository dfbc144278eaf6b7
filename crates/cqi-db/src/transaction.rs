//! Transactions: all or nothing, whatever becomes of the future that runs them.

mod options;
mod outcome;
mod savepoint;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use cqi_errors::{Error, Kind, Result};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::types::ToSql;

use crate::error::Fate;
use crate::{Connection, FromRow, Pool, SqlError};

pub use options::{Isolation, TransactionOptions};
pub use outcome::is_outcome_unknown;
use savepoint::Abandoned;

/// Runs `body` in a transaction: commits when it returns `Ok`, rolls back when it returns `Err`,
/// panics or is dropped.
///
/// Use [`TransactionOptions::run`] for another isolation level, for a read-only transaction or to
/// repeat what failed to serialize.
///
/// ```no_run
/// # use cqi_db::{Pool, with_transaction};
/// # async fn pay(pool: &Pool, from: &str, to: &str, amount: i64) -> cqi_errors::Result<()> {
/// with_transaction(pool, async |tx| {
///     tx.execute("UPDATE accounts SET balance = balance - $2 WHERE id = $1", &[&from, &amount]).await?;
///     tx.execute("UPDATE accounts SET balance = balance + $2 WHERE id = $1", &[&to, &amount]).await?;
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// # Errors
/// - What `body` returns; everything is rolled back.
/// - As for [`Pool::acquire`], before `body` has run.
/// - As for [`Transaction::commit`]. Look at [`is_outcome_unknown`] where it matters whether the work was
///   done.
///
/// # Cancel safety
/// Dropping the future rolls back, at whatever point it waits; the rollback goes on in the
/// background and the connection serves nobody before it is done. While COMMIT is under way
/// dropping leaves it open which of the two happens.
pub async fn with_transaction<T, F>(
    pool: &Pool,
    body: impl FnOnce(Transaction) -> F + Send,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    TransactionOptions::new().attempt(pool, body).await
}

impl Pool {
    /// Begins a transaction to be ended by hand; dropping it rolls back.
    ///
    /// Prefer [`with_transaction`], which cannot be forgotten halfway.
    ///
    /// # Errors
    /// As for [`Pool::acquire`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no transaction behind.
    pub async fn begin(&self) -> Result<Transaction> {
        TransactionOptions::new().begin(self).await
    }
}

/// A transaction: statements that take effect together or not at all.
///
/// One statement runs at a time; a second waits for the first. After a statement has failed every
/// other one fails too, except behind a [`savepoint`](Transaction::savepoint).
///
/// # Cancel safety
/// Dropping the future of a statement while it runs ends the transaction: the statement is
/// cancelled, everything is rolled back and whatever follows fails.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Mutex<Connection>,
    writes: bool,
    abandoned: Abandoned,
    savepoints: AtomicU32,
}

impl Transaction {
    fn new(connection: Connection, writes: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                connection: Mutex::new(connection),
                writes,
                abandoned: Abandoned::default(),
                savepoints: AtomicU32::new(0),
            }),
        }
    }

    /// What a closure gets: it runs statements and cannot end the transaction.
    fn handle(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Runs a query and reads all its rows.
    ///
    /// # Errors
    /// As for [`Connection::query`].
    pub async fn query<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>> {
        let mut connection = self.lock().await?;
        let done = connection.query(sql, params).await;
        done.map_err(|error| self.shared.explain(error, &mut connection))
    }

    /// Runs a query that gives one row.
    ///
    /// # Errors
    /// As for [`Connection::query_one`].
    pub async fn query_one<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T> {
        let mut connection = self.lock().await?;
        let done = connection.query_one(sql, params).await;
        done.map_err(|error| self.shared.explain(error, &mut connection))
    }

    /// Runs a query that gives at most one row.
    ///
    /// # Errors
    /// As for [`Connection::query_opt`].
    pub async fn query_opt<T: FromRow>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>> {
        let mut connection = self.lock().await?;
        let done = connection.query_opt(sql, params).await;
        done.map_err(|error| self.shared.explain(error, &mut connection))
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// As for [`Connection::execute`].
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let mut connection = self.lock().await?;
        let done = connection.execute(sql, params).await;
        done.map_err(|error| self.shared.explain(error, &mut connection))
    }

    /// Makes the changes last.
    ///
    /// COMMIT has `query_timeout`, like any statement, and is never repeated.
    ///
    /// # Errors
    /// - [`is_outcome_unknown`], kind `Unknown`: the connection was lost, or the
    ///   time was up, before the server had answered. The changes may or may not be there: look
    ///   before the work is done again.
    /// - Any other: nothing was changed. 40001 may come as late as here.
    /// - In the closure of [`with_transaction`], which commits by itself: kind
    ///   `Permanent`, and the transaction goes on.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it open whether the changes last.
    pub async fn commit(self) -> Result<()> {
        let mut connection = self.into_connection().await?;
        if connection.is_lost() {
            return Err(Error::temporary(
                "nothing was committed: the connection was lost before COMMIT",
            ));
        }
        // The server answers COMMIT of a failed transaction with a ROLLBACK that looks like
        // success; an empty SELECT in front of it fails instead.
        let failure = match connection.simple("SELECT; COMMIT").await {
            Ok(()) => {
                connection.set_in_transaction(false);
                return Ok(());
            }
            Err(failure) => failure,
        };
        Err(match failure.fate {
            Fate::NotExecuted | Fate::Refused if !outcome::ends_session(&failure.error) => {
                explained(failure.error).context("nothing was committed")
            }
            _ => outcome::unknown(failure.error),
        })
    }

    /// Undoes the changes and gives the connection back.
    ///
    /// # Errors
    /// When the connection was lost, in which case the server rolls back by itself.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the rollback to the background.
    pub async fn rollback(self) -> Result<()> {
        let mut connection = self.into_connection().await?;
        connection.simple("ROLLBACK").await?;
        connection.set_in_transaction(false);
        Ok(())
    }

    async fn lock(&self) -> Result<MutexGuard<'_, Connection>> {
        let mut connection = self.shared.connection.lock().await;
        self.shared.abandoned.undo(&mut connection).await?;
        Ok(connection)
    }

    async fn into_connection(self) -> Result<Connection> {
        let Some(shared) = Arc::into_inner(self.shared) else {
            return Err(Error::permanent(
                "a transaction is ended by who began it: return from the closure with `Ok` or \
                 `Err`, and keep no `Transaction` beyond it",
            ));
        };
        let mut connection = shared.connection.into_inner();
        shared.abandoned.undo(&mut connection).await?;
        Ok(connection)
    }
}

impl Shared {
    /// A primary that has become a replica refuses writes for good: its connection is not used
    /// again, and the next one goes to the new primary.
    fn explain(&self, error: Error, connection: &mut Connection) -> Error {
        if self.writes && sqlstate(&error) == Some(READ_ONLY) {
            connection.mark_broken();
            return error.with_kind(Kind::Temporary);
        }
        explained(error)
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

fn sqlstate(error: &Error) -> Option<&str> {
    SqlError::of(error)?.sqlstate()
}

const IN_FAILED_TRANSACTION: &str = "25P02";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK: &str = "40P01";
const READ_ONLY: &str = "25006";

/// Says why everything fails after the first failure.
fn explained(error: Error) -> Error {
    if sqlstate(&error) == Some(IN_FAILED_TRANSACTION) {
        return error.context(
            "an earlier statement of this transaction failed and its error was not returned: \
             run what may fail in a savepoint",
        );
    }
    error
}
