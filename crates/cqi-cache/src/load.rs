use cqi_errors::Result;
use prost::{Message, Name};

use crate::{Cache, Key, LoadPolicy};

impl Cache {
    /// Returns the value of a key, and loads and keeps it where it is missing.
    ///
    /// # Errors
    /// The loader's own.
    pub async fn get_or_load<M, F, Fut>(
        &self,
        key: &Key,
        policy: impl Into<LoadPolicy>,
        loader: F,
    ) -> Result<M>
    where
        M: Message + Name + Default + Clone + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<M>> + Send + 'static,
    {
        let policy = policy.into();
        if let Ok(Some(value)) = self.get(key).await {
            return Ok(value);
        }
        let value = loader().await?;
        let _ = self.set(key, &value, policy.ttl).await;
        Ok(value)
    }
}
