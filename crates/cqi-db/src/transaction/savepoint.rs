use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};

use cqi_errors::Result;

use super::{Transaction, explained};
use crate::Connection;

impl Transaction {
    /// Runs `body` behind a savepoint: keeps its changes when it returns `Ok`, undoes them, and only
    /// them, when it returns `Err`, panics or is dropped. Savepoints nest.
    ///
    /// ```no_run
    /// # async fn import(tx: &cqi_db::Transaction, id: &str) -> cqi_errors::Result<bool> {
    /// let inserted = tx.savepoint(async |tx| {
    ///     tx.execute("INSERT INTO assets (id) VALUES ($1)", &[&id]).await
    /// });
    /// Ok(inserted.await.is_ok())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `body` returns; the transaction can go on.
    ///
    /// # Cancel safety
    /// Dropping the future undoes the changes before the next statement runs; if a statement was
    /// running, it ends the whole transaction.
    pub async fn savepoint<T, F>(&self, body: impl FnOnce(Self) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let name = format!(
            "cqi_{}",
            self.shared.savepoints.fetch_add(1, Ordering::Relaxed)
        );
        self.simple(&format!("SAVEPOINT {name}")).await?;
        let guard = Guard {
            tx: self,
            name: Some(name),
        };
        let value = body(self.handle()).await?;
        guard.release().await?;
        Ok(value)
    }

    async fn simple(&self, sql: &str) -> Result<()> {
        let mut connection = self.lock().await?;
        connection
            .simple(sql)
            .await
            .map_err(|failure| explained(failure.error))
    }
}

/// Undoes a savepoint that was not released.
struct Guard<'a> {
    tx: &'a Transaction,
    name: Option<String>,
}

impl Guard<'_> {
    async fn release(mut self) -> Result<()> {
        if let Some(name) = &self.name {
            self.tx.simple(&format!("RELEASE SAVEPOINT {name}")).await?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.tx.shared.abandoned.set(name);
        }
    }
}

/// Savepoints whose changes are still to be undone.
#[derive(Default)]
pub(super) struct Abandoned(Mutex<Vec<String>>);

impl Abandoned {
    fn set(&self, name: String) {
        self.lock().push(name);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Undoes the inner ones first: where savepoints ran side by side and that is not so, the
    /// server refuses, which fails the transaction.
    pub(super) async fn undo(&self, connection: &mut Connection) -> Result<()> {
        let mut names = std::mem::take(&mut *self.lock());
        if names.is_empty() {
            return Ok(());
        }
        names.sort_by_key(|name| std::cmp::Reverse((name.len(), name.clone())));
        let undo = |name| format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name};");
        let sql: String = names.iter().map(undo).collect();
        Ok(connection.simple(&sql).await?)
    }
}
