use cqi_errors::Result;
use prost::{Message, Name};

use crate::call::Call;
use crate::counters::Operation;
use crate::entry::Header;
use crate::{Cache, Key, Ttl};

impl Cache {
    /// Returns the values of keys, in their order: `None` where a key has none of this type.
    ///
    /// Up to 512 keys take one round trip, with the bound of one call.
    ///
    /// ```
    /// # #[derive(Clone, PartialEq, prost::Message)]
    /// # struct Price { #[prost(double, tag = "1")] value: f64 }
    /// # impl prost::Name for Price { const NAME: &'static str = "Price"; const PACKAGE: &'static str = ""; }
    /// # #[tokio::main]
    /// # async fn main() -> cqi_errors::Result<()> {
    /// # use cqi_cache::{Cache, Key};
    /// # let cache = Cache::connect(&cqi_config::CacheConfig::default()).await?;
    /// let keys = ["btc", "eth"].map(|asset| Key::new("price").part(asset));
    /// cache.set(&keys[1], &Price { value: 2.0 }, None).await?;
    /// let prices: Vec<Option<Price>> = cache.get_many(&keys).await?;
    /// assert_eq!(prices, [None, Some(Price { value: 2.0 })]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [all calls](Cache#errors); then no value is returned.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn get_many<M: Message + Name + Default>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<M>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::many(Operation::GetMany, keys.len());
        let full = keys.iter().map(|key| self.full(key)).collect();
        let stored = self
            .inner()
            .call(call, self.inner().backend.get_many(full))
            .await?;
        let values = keys.iter().zip(stored);
        Ok(values
            .map(|(key, stored)| self.value(key, stored).map(|(value, _)| value))
            .collect())
    }

    /// Sets the values of keys, all with one time to live.
    ///
    /// Up to 512 values of 4 MiB in all take one round trip, with the bound of one call.
    /// Readers may see some of them before others. Where a key is there twice, one of its values stays.
    ///
    /// # Errors
    /// - [`InvalidInput`](cqi_errors::Kind::InvalidInput) when a value is larger than
    ///   `cache.max_value_size`; then none is set.
    /// - Those of [all calls](Cache#errors); then some values may be set.
    ///
    /// # Cancel safety
    /// Some values may be set.
    pub async fn set_many<M: Message + Name>(
        &self,
        values: &[(Key, M)],
        ttl: impl Into<Ttl>,
    ) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let keep = ttl.into().resolve(self.inner().default_ttl);
        let header = Header::new(self.tag::<M>(), keep);
        let encoded = values.iter().map(|(key, value)| {
            let stored = self.encode(Call::one(Operation::SetMany, key), &header, value)?;
            Ok((self.full(key), stored))
        });
        let entries = encoded.collect::<Result<_>>()?;
        self.supersede(values.iter().map(|(key, _)| key)).await;
        let call = Call::many(Operation::SetMany, values.len());
        let set = self.inner().backend.set_many(entries, keep);
        self.inner().call(call, set).await
    }

    /// Deletes the values of keys; returns how many there were.
    ///
    /// # Errors
    /// Those of [all calls](Cache#errors); then some values may be deleted.
    ///
    /// # Cancel safety
    /// Some values may be deleted.
    pub async fn delete_many(&self, keys: &[Key]) -> Result<u64> {
        if keys.is_empty() {
            return Ok(0);
        }
        self.supersede(keys).await;
        let call = Call::many(Operation::Delete, keys.len());
        let full = keys.iter().map(|key| self.full(key)).collect();
        self.inner()
            .call(call, self.inner().backend.delete(full))
            .await
    }
}
