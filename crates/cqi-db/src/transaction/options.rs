use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use cqi_config::TargetSessionAttrs;
use cqi_errors::Result;
use tokio::time::sleep;

use super::{DEADLOCK, SERIALIZATION_FAILURE, Transaction, is_outcome_unknown, sqlstate};
use crate::Pool;

/// How a transaction is isolated from others. The levels are PostgreSQL's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    #[default]
    ReadCommitted,
    /// All statements see what was committed before the first; a lost update fails with 40001.
    RepeatableRead,
    /// As if transactions ran one after the other; what cannot be so fails with 40001.
    Serializable,
}

/// How to run a transaction. Each setting that is not made is the server's.
///
/// ```no_run
/// # use cqi_db::{Isolation, Pool, TransactionOptions};
/// # async fn pay(pool: &Pool, from: &str, amount: i64) -> cqi_errors::Result<i64> {
/// TransactionOptions::new()
///     .isolation(Isolation::Serializable)
///     .retries(5)
///     .run(pool, async |tx| {
///         let balance: (i64,) = tx.query_one("SELECT balance FROM accounts WHERE id = $1", &[&from]).await?;
///         tx.execute("UPDATE accounts SET balance = $2 WHERE id = $1", &[&from, &(balance.0 - amount)]).await?;
///         Ok(balance.0 - amount)
///     })
///     .await
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct TransactionOptions {
    isolation: Option<Isolation>,
    read_only: bool,
    deferrable: bool,
    retries: u32,
}

impl TransactionOptions {
    /// Leaves everything to the server and repeats nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the isolation level.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Refuses statements that write.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Waits at the start until a serializable, read-only transaction can run without being aborted
    /// and without aborting others; has no effect on another.
    pub fn deferrable(mut self) -> Self {
        self.deferrable = true;
        self
    }

    /// Runs the body again, up to this many times, when the server could not serialize it (40001)
    /// or broke a deadlock (40P01); 0 by default.
    ///
    /// In between it waits for a random time of up to 10 ms, doubled each time up to 1 s. An
    /// unknown outcome of COMMIT is never repeated.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Begins a transaction to be ended by hand; dropping it rolls back. Nothing is repeated.
    ///
    /// # Errors
    /// As for [`Pool::acquire`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no transaction behind.
    pub async fn begin(self, pool: &Pool) -> Result<Transaction> {
        let connection = pool.begin_with(&self.sql()).await?;
        let primary = pool.config().target_session_attrs == TargetSessionAttrs::ReadWrite;
        Ok(Transaction::new(connection, primary && !self.read_only))
    }

    /// Runs `body` in a transaction, like [`with_transaction`](crate::with_transaction).
    ///
    /// `body` may run several times: it keeps its effects in the transaction, and what it changes
    /// outside through a `Cell` or an atomic it must be able to change again.
    ///
    /// # Errors
    /// As for [`with_transaction`](crate::with_transaction); after the last attempt the error says
    /// how many there were.
    ///
    /// # Cancel safety
    /// As for [`with_transaction`](crate::with_transaction).
    pub async fn run<T, F>(
        self,
        pool: &Pool,
        mut body: impl FnMut(Transaction) -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        for retry in 0..self.retries {
            match self.attempt(pool, &mut body).await {
                Err(error) if may_serialize_later(&error) => {
                    tracing::debug!(%error, retry, "transaction runs again");
                    sleep(pause(retry)).await;
                }
                result => return result,
            }
        }
        let result = self.attempt(pool, &mut body).await;
        result.map_err(|error| match self.retries {
            1.. if may_serialize_later(&error) => {
                error.context(format!("gave up after {} attempts", self.retries + 1))
            }
            _ => error,
        })
    }

    pub(super) async fn attempt<T, F>(
        self,
        pool: &Pool,
        body: impl FnOnce(Transaction) -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let tx = self.begin(pool).await?;
        match body(tx.handle()).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // The error of the body is what the caller needs; a connection that cannot roll
                // back is discarded, and then the server does it.
                let _ = tx.rollback().await;
                Err(error)
            }
        }
    }

    fn sql(self) -> String {
        let mut sql = "BEGIN".to_owned();
        match self.isolation {
            None => {}
            Some(Isolation::ReadCommitted) => sql.push_str(" ISOLATION LEVEL READ COMMITTED"),
            Some(Isolation::RepeatableRead) => sql.push_str(" ISOLATION LEVEL REPEATABLE READ"),
            Some(Isolation::Serializable) => sql.push_str(" ISOLATION LEVEL SERIALIZABLE"),
        }
        if self.read_only {
            sql.push_str(" READ ONLY");
        }
        if self.deferrable {
            sql.push_str(" DEFERRABLE");
        }
        sql
    }
}

fn may_serialize_later(error: &cqi_errors::Error) -> bool {
    matches!(sqlstate(error), Some(SERIALIZATION_FAILURE | DEADLOCK)) && !is_outcome_unknown(error)
}

/// A random part of 10 ms x 2^retry: those who collided should not meet again.
fn pause(retry: u32) -> Duration {
    let longest = Duration::from_millis(10 << retry.min(7)).min(Duration::from_secs(1));
    // A fresh `RandomState` is the standard library's source of randomness.
    let random = RandomState::new().hash_one(retry) % 1024;
    longest.mul_f64(random as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_names_only_what_was_asked_for() {
        assert_eq!(TransactionOptions::new().sql(), "BEGIN");
        let all = TransactionOptions::new()
            .isolation(Isolation::Serializable)
            .read_only()
            .deferrable();
        assert_eq!(
            all.sql(),
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE"
        );
    }

    #[test]
    fn pauses_grow_are_bounded_and_differ() {
        for retry in 0..100 {
            assert!(pause(retry) <= Duration::from_millis(10 << retry.min(7)));
            assert!(pause(retry) < Duration::from_secs(1));
        }
        let several: std::collections::HashSet<_> = (0..20).map(|_| pause(6)).collect();
        assert!(several.len() > 10, "{several:?}");
    }
}
