use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cqi_config::CacheConfig;
use cqi_errors::{Result, ResultExt};
use prost::{Message, Name};

use crate::backend::Backend;
use crate::entry::{self, Entry, Header, NEVER};
use crate::{Key, Ttl, clock};

/// Typed values under keys, in Redis or in this process; a cheap clone.
#[derive(Clone, Debug)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    backend: Backend,
    /// Escaped, with the colon behind it; empty for none.
    prefix: String,
    default_ttl: Duration,
    max_value_size: u64,
}

impl Cache {
    /// Connects to the backend that the settings name.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn connect(config: &CacheConfig) -> Result<Self> {
        let prefix = match config.key_prefix.as_str() {
            "" => String::new(),
            prefix => format!("{}:", Key::new(prefix)),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                backend: Backend::connect(config).await?,
                prefix,
                default_ttl: config.default_ttl,
                max_value_size: config.max_value_size,
            }),
        })
    }

    /// Returns the value of a key, or `None` where it has none of this type.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn get<M: Message + Name + Default>(&self, key: &Key) -> Result<Option<M>> {
        let stored = self.inner.backend.get(self.full(key)).await;
        let stored = stored.with_context(|| format!("get {key} from the cache"))?;
        let now = clock::unix_millis();
        let entry = stored.and_then(Entry::parse);
        Ok(entry
            .filter(|entry| !entry.is_expired(now))
            .and_then(|entry| entry.message()))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// Those of the backend; `InvalidInput` when the value is larger than `cache.max_value_size`.
    pub async fn set<M: Message + Name>(
        &self,
        key: &Key,
        value: &M,
        ttl: impl Into<Ttl>,
    ) -> Result<()> {
        let keep = self.keep(ttl.into());
        let header = Header {
            tag: entry::tag::<M>(),
            absent: false,
            expires_at: expires_at(keep),
            cost: 0,
            version: 0,
        };
        let value = entry::encode(&header, Some(value), self.inner.max_value_size);
        let value = value.with_context(|| format!("set {key} in the cache"))?;
        let set = self.inner.backend.set(self.full(key), value, keep).await;
        set.with_context(|| format!("set {key} in the cache"))
    }

    fn keep(&self, ttl: Ttl) -> Option<Duration> {
        match ttl {
            Ttl::Default => Some(self.inner.default_ttl),
            Ttl::After(ttl) => Some(ttl.max(Duration::from_millis(1))),
            Ttl::Never => None,
        }
    }

    fn full(&self, key: &Key) -> Bytes {
        let prefix = &self.inner.prefix;
        let mut full = BytesMut::with_capacity(prefix.len() + key.as_str().len());
        full.put_slice(prefix.as_bytes());
        full.put_slice(key.as_str().as_bytes());
        full.freeze()
    }
}

fn expires_at(keep: Option<Duration>) -> u64 {
    keep.map_or(NEVER, |keep| {
        let millis = u64::try_from(keep.as_millis()).unwrap_or(NEVER);
        clock::unix_millis().saturating_add(millis)
    })
}
