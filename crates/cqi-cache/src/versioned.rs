use cqi_errors::Result;
use prost::{Message, Name};

use crate::call::Call;
use crate::counters::Operation;
use crate::entry::Header;
use crate::{Cache, Key, Ttl};

impl Cache {
    /// Sets the value of a key unless a higher version of it is there; returns whether it was set.
    ///
    /// For writers that may come in the wrong order, be it that Redis carries out a write after its
    /// caller gave it up. The version is any number that grows with the value: a row's counter, an
    /// event's offset, a time. The same version is set again, which renews its time. A value of
    /// another type or [schema](Cache::with_schema) is replaced.
    ///
    /// A version lives as long as its value: once that has expired, was evicted or
    /// [deleted](Cache::delete), any version is set. [`set`](Cache::set) has no version, which is 0: it
    /// always replaces and is always replaced. So do the values that
    /// [`get_or_load`](Cache::get_or_load) stores.
    ///
    /// ```
    /// # #[derive(Clone, PartialEq, prost::Message)]
    /// # struct Price { #[prost(double, tag = "1")] value: f64 }
    /// # impl prost::Name for Price { const NAME: &'static str = "Price"; const PACKAGE: &'static str = ""; }
    /// # #[tokio::main]
    /// # async fn main() -> cqi_errors::Result<()> {
    /// # use cqi_cache::{Cache, Key};
    /// # let cache = Cache::connect(&cqi_config::CacheConfig::default()).await?;
    /// let key = Key::new("price").part("btc");
    /// assert!(cache.set_versioned(&key, &Price { value: 2.0 }, 2, None).await?);
    /// assert!(!cache.set_versioned(&key, &Price { value: 1.0 }, 1, None).await?);
    /// assert_eq!(cache.get_versioned(&key).await?, Some((Price { value: 2.0 }, 2)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`set`](Cache::set).
    ///
    /// # Cancel safety
    /// The value may be set.
    pub async fn set_versioned<M: Message + Name>(
        &self,
        key: &Key,
        value: &M,
        version: u64,
        ttl: impl Into<Ttl>,
    ) -> Result<bool> {
        let call = Call::one(Operation::SetVersioned, key);
        let keep = ttl.into().resolve(self.inner().default_ttl);
        let header = Header {
            version,
            ..Header::new(self.tag::<M>(), keep)
        };
        let stored = self.encode(call, &header, value)?;
        self.supersede([key]).await;
        self.write_versioned(key, stored, keep).await
    }

    /// Returns the value of a key and its version, which is 0 where it was set without one.
    ///
    /// # Errors
    /// Those of [all calls](Cache#errors).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn get_versioned<M: Message + Name + Default>(
        &self,
        key: &Key,
    ) -> Result<Option<(M, u64)>> {
        let stored = self.read(key).await?;
        Ok(self.value(key, stored))
    }
}
