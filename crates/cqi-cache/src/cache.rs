use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cqi_config::CacheConfig;
use cqi_errors::{Error, Result};
use prost::{Message, Name};

use crate::backend::Backend;
use crate::call::Call;
use crate::counters::{Counters, Operation};
use crate::entry::{HEADER, Header};
use crate::load::Loads;
use crate::{Key, Ttl};

/// Typed values under keys, in Redis or in this process; a cheap clone.
///
/// A value is stored with a tag of its message type and the time at which it expires. What does not
/// fit the reader (another type, another [schema](Cache::with_schema), foreign or broken bytes, more
/// than `cache.max_value_size`) is a miss for it, and so is a value past its time.
///
/// # Errors
/// Calls end within `cache.command_timeout` and 250 ms; one that writes a key which a load is storing
/// just now waits for that first, no longer than so. Besides what they say themselves they fail with
///
/// - [`Temporary`](cqi_errors::Kind::Temporary) while there is no connection, at once; when it is lost on the way;
///   when Redis has no memory left, is loading or takes no writes; once the cache is closed;
/// - [`Timeout`](cqi_errors::Kind::Timeout) when there is no answer in time: a write may be carried out later;
/// - [`Permanent`](cqi_errors::Kind::Permanent) when Redis refuses, for want of a permission or of a command.
///
/// A memory backend fails only once it is closed. [`RedisError`](crate::RedisError) has what Redis said.
///
/// # Clocks
/// A value's end is a point in time, so that a write which Redis carries out late, after its caller
/// gave it up, does not live longer than it should. Every reader compares it with its own clock:
/// the hosts' clocks have to agree to well within the shortest TTL. A reader that is ahead by a
/// second sees values end a second early; one that is behind sees late writes for a second more, and
/// all others for as long as the backend keeps them, which is their TTL by the server's own count.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    schema: u32,
}

pub(crate) struct Inner {
    pub(crate) backend: Backend,
    /// Escaped, with the colon behind it; empty for none.
    pub(crate) prefix: String,
    pub(crate) default_ttl: Duration,
    pub(crate) max_value_size: u64,
    pub(crate) command_timeout: Duration,
    pub(crate) load_timeout: Duration,
    pub(crate) ttl_jitter: f64,
    pub(crate) loads: Loads,
    pub(crate) counters: Counters,
    closed: AtomicBool,
}

impl Cache {
    /// Connects to the backend that the settings name.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cqi_errors::Result<()> {
    /// use cqi_cache::Cache;
    /// use cqi_config::CacheConfig;
    ///
    /// let cache = Cache::connect(&CacheConfig::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A server that cannot be reached is no error, so that a service starts without its cache: a
    /// warning says so, calls fail at once, and the cache goes on trying.
    ///
    /// # Errors
    /// [`Permanent`](cqi_errors::Kind::Permanent) when the settings cannot be right: a password that Redis refuses,
    /// a database it does not have, a file of certificates that cannot be read.
    ///
    /// # Cancel safety
    /// Safe: what was opened is closed.
    pub async fn connect(config: &CacheConfig) -> Result<Self> {
        let jitter = config.ttl_jitter;
        if !(0.0..=1.0).contains(&jitter) {
            let text = format!("cache.ttl_jitter is {jitter}, but must be from 0 to 1");
            return Err(Error::permanent(text));
        }
        let prefix = match config.key_prefix.as_str() {
            "" => String::new(),
            prefix => format!("{}:", Key::new(prefix).as_str()),
        };
        let inner = Inner {
            backend: Backend::connect(config).await?,
            prefix,
            default_ttl: config.default_ttl,
            max_value_size: config.max_value_size,
            command_timeout: config.command_timeout,
            load_timeout: config.load_timeout,
            ttl_jitter: jitter,
            loads: Loads::default(),
            counters: Counters::default(),
            closed: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
            schema: 0,
        })
    }

    /// Returns a handle on the same cache whose values have a schema of this number; 0 by default.
    ///
    /// Protobuf's compatible changes (new fields, removed fields) need no number. Where a message
    /// keeps its name and means something else, count this up in the code that made the change: values
    /// of other numbers are misses for it, never garbage. While old and new instances run side by side
    /// they replace each other's values; a part in the key that tells them apart avoids that.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cqi_errors::Result<()> {
    /// # let cache = cqi_cache::Cache::connect(&cqi_config::CacheConfig::default()).await?;
    /// // Since 2 amounts are in minor units.
    /// let cache = cache.with_schema(2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_schema(&self, number: u32) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            schema: number,
        }
    }

    /// Returns the value of a key, or `None` where it has none of this type.
    ///
    /// Fields that prost was told to make `Bytes` are not copied: they share the memory that was read.
    ///
    /// # Errors
    /// Those of [all calls](Cache#errors).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn get<M: Message + Name + Default>(&self, key: &Key) -> Result<Option<M>> {
        Ok(self.get_versioned(key).await?.map(|(value, _)| value))
    }

    /// Sets the value of a key, whatever was there, also a [versioned](Cache::set_versioned) one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cqi_cache::Ttl;
    ///
    /// # async fn run<M: prost::Message + prost::Name>(cache: &cqi_cache::Cache, key: &cqi_cache::Key, value: &M) -> cqi_errors::Result<()> {
    /// cache.set(key, value, Duration::from_secs(60)).await?;
    /// cache.set(key, value, None).await?; // cache.default_ttl
    /// cache.set(key, value, Ttl::Never).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`InvalidInput`](cqi_errors::Kind::InvalidInput) when the value is larger than
    ///   `cache.max_value_size`; what was there stays.
    /// - Those of [all calls](Cache#errors). After a [`Timeout`](cqi_errors::Kind::Timeout) the value may be set, or
    ///   be set later; even then it is a miss once its time is over.
    ///
    /// # Cancel safety
    /// The value may be set.
    pub async fn set<M: Message + Name>(
        &self,
        key: &Key,
        value: &M,
        ttl: impl Into<Ttl>,
    ) -> Result<()> {
        let keep = ttl.into().resolve(self.inner.default_ttl);
        let header = Header::new(self.tag::<M>(), keep);
        let stored = self.encode(Call::one(Operation::Set, key), &header, value)?;
        self.supersede([key]).await;
        self.write(key, stored, keep).await
    }

    /// Deletes the value of a key, of whatever type; returns whether there was anything, be it an
    /// expired value that is kept for [`stale_if_error`](crate::LoadPolicy::stale_if_error).
    ///
    /// Its version is forgotten with it: a [`set_versioned`](Cache::set_versioned) that comes after
    /// sets what it has.
    ///
    /// # Errors
    /// Those of [all calls](Cache#errors).
    ///
    /// # Cancel safety
    /// The value may be deleted.
    pub async fn delete(&self, key: &Key) -> Result<bool> {
        self.supersede([key]).await;
        self.remove(key).await
    }

    /// Says whether a key has a value, of whatever type, without reading it.
    ///
    /// # Errors
    /// Those of [all calls](Cache#errors).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn exists(&self, key: &Key) -> Result<bool> {
        let call = Call::one(Operation::Exists, key);
        let head = self.inner.backend.head(self.full(key), HEADER);
        let Some(mut head) = self.inner.call(call, head).await? else {
            return Ok(false);
        };
        let header = Header::take(&mut head);
        Ok(header.is_ok_and(|header| !header.absent && !header.is_expired_now()))
    }

    /// Says whether the cache can be used now, for health checks: asks the server.
    ///
    /// # Errors
    /// Those of [all calls](Cache#errors).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn check(&self) -> Result<()> {
        if self.inner.is_closed() {
            return Err(closed());
        }
        self.inner.backend.check().await
    }

    /// Closes the connections and ends loads in the background; a memory backend forgets its values.
    /// Later calls on this or any other handle fail with a Temporary error, but
    /// [`get_or_load`](Cache::get_or_load) still loads.
    ///
    /// # Cancel safety
    /// The cache is closed; only the waiting ends.
    pub async fn close(&self) {
        self.inner.closed.store(true, Relaxed);
        // At once, so that both have begun where this is cancelled.
        tokio::join!(self.inner.loads.close(), self.inner.backend.close());
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn schema(&self) -> u32 {
        self.schema
    }

    pub(crate) fn downgrade(&self) -> WeakCache {
        WeakCache {
            inner: Arc::downgrade(&self.inner),
            schema: self.schema,
        }
    }
}

/// A handle that does not keep the cache.
pub(crate) struct WeakCache {
    inner: Weak<Inner>,
    schema: u32,
}

impl WeakCache {
    pub(crate) fn upgrade(&self) -> Option<Cache> {
        Some(Cache {
            inner: self.inner.upgrade()?,
            schema: self.schema,
        })
    }
}

impl Inner {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}

pub(crate) fn closed() -> Error {
    Error::temporary("the cache is closed")
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("backend", &self.inner.backend)
            .field("prefix", &self.inner.prefix)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
