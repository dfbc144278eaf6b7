//! Cache-aside: what is missing is loaded once, however many ask and whatever the backend does.

mod flight;
mod fly;
mod keep;
mod pause;
mod refresh;
mod run;
mod trouble;

use std::sync::Arc;

use cqi_errors::{Error, Kind, Result, ResultExt};
use prost::{Message, Name};
use tokio::time::timeout;

use self::flight::Flights;
use self::fly::Miss;
use self::pause::Pauses;
use self::refresh::Background;
use self::trouble::Trouble;
use crate::entry::Entry;
use crate::{Cache, Key, LoadPolicy, clock};

/// What a cache knows of its loaders.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    flights: Arc<Flights>,
    pauses: Pauses,
    background: Background,
    trouble: Trouble,
}

impl Loads {
    /// How many keys are being loaded.
    pub(crate) fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// Ends the loads in the background.
    pub(crate) async fn close(&self) {
        self.background.close().await;
    }
}

impl Cache {
    /// Keeps what is being loaded for keys from being stored over what is about to be there.
    ///
    /// Waits for stores under way, but not for one that has got stuck, such as in a future that is
    /// not polled. Cancelled midway, it has only made callers load again.
    pub(crate) async fn supersede<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        let inner = self.inner();
        let flights = &inner.loads.flights;
        let superseded: Vec<_> = keys
            .into_iter()
            .flat_map(|key| flights.supersede(key))
            .collect();
        if superseded.is_empty() {
            return;
        }
        let all_stored = async {
            for flight in &superseded {
                flight.stored().await;
            }
        };
        let _ = timeout(inner.command_timeout, all_stored).await;
    }

    /// Returns the value of a key, and loads and keeps it where it is missing.
    ///
    /// This is how a service reads through the cache: it is faster with one, and works without.
    ///
    /// ```
    /// # #[derive(Clone, PartialEq, prost::Message)]
    /// # struct Price { #[prost(double, tag = "1")] value: f64 }
    /// # impl prost::Name for Price { const NAME: &'static str = "Price"; const PACKAGE: &'static str = ""; }
    /// # async fn from_database(asset: &str) -> cqi_errors::Result<Price> { Ok(Price { value: 64_000.0 }) }
    /// # #[tokio::main]
    /// # async fn main() -> cqi_errors::Result<()> {
    /// use std::time::Duration;
    /// use cqi_cache::{Cache, Key, LoadPolicy};
    ///
    /// # let cache = Cache::connect(&cqi_config::CacheConfig::default()).await?;
    /// let policy = LoadPolicy::new(Duration::from_secs(60)).stale_if_error(Duration::from_secs(600));
    /// let key = Key::new("price").part("btc");
    /// let price = cache.get_or_load(&key, policy, || async { from_database("btc").await }).await?;
    /// assert_eq!(price, Price { value: 64_000.0 });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// - **A hit** is a [`get`](Cache::get), and nothing more.
    /// - **A miss** calls the loader, once in this process for all calls that miss the key at that
    ///   time: the first runs its loader, the others wait for what it brings. Should the first be
    ///   dropped, the next runs its own. What is loaded is kept for the policy's time, less a random
    ///   part of up to `cache.ttl_jitter` of it; what is larger than `cache.max_value_size` is
    ///   returned and not kept.
    /// - **A backend that fails** costs the call its bound once, such as `cache.command_timeout`: the
    ///   loader is called all the same, and what it brings is returned and not kept.
    /// - **A value that is about to expire** is loaded again in the background while it is returned:
    ///   [`early_refresh`](LoadPolicy::early_refresh). So loaders own what they use (`'static`). At
    ///   most 64 values are loaded so at a time; each load has a span of its own, linked to the one
    ///   that set it off.
    /// - **A loader that fails** can have an expired value stand in for what it did not bring:
    ///   [`stale_if_error`](LoadPolicy::stale_if_error). That a thing is not there can be kept, too:
    ///   [`not_found`](LoadPolicy::not_found).
    /// - **A value that is set or deleted** while an older one is being loaded stays so: the load is
    ///   returned to its callers and not kept. That holds within this process. Another one may store
    ///   what it loaded before the change; where that matters, use
    ///   [`set_versioned`](Cache::set_versioned) and [`keep_newer`](LoadPolicy::keep_newer).
    ///
    /// # Errors
    /// All are wrapped in a message with the key. All callers of one load get the same kind, public
    /// text, field and delay, with the loader's error as the cause.
    ///
    /// - The loader's own. It is not kept: the next call loads again.
    /// - [`Timeout`](Kind::Timeout) when the loader takes longer than `cache.load_timeout`, or another
    ///   call's loader longer than what is left of this call's. So ends a loader that calls
    ///   `get_or_load` with its own key, which waits for itself.
    /// - [`NotFound`](Kind::NotFound) as the loader said it, or did before.
    /// - [`Permanent`](Kind::Permanent) when the loader panicked in another call, or when
    ///   [`early_refresh`](LoadPolicy::early_refresh) has a number that cannot be.
    ///
    /// Never those of the backend: they are counted, and logged now and then.
    ///
    /// # Panics
    /// Where the loader does, in the call that runs it. Outside of a Tokio runtime with a clock.
    ///
    /// # Cancel safety
    /// Dropped while its loader runs, the loader is dropped, and a call that waits runs its own.
    /// Dropped while the value is stored, the value may be stored; others have it already.
    pub async fn get_or_load<M, F, Fut>(
        &self,
        key: &Key,
        policy: impl Into<LoadPolicy>,
        loader: F,
    ) -> Result<M>
    where
        M: Message + Name + Default + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<M>> + Send + 'static,
    {
        let policy = policy.into();
        policy.check().with_context(|| format!("load {key}"))?;
        let inner = self.inner();
        let landed = inner.loads.flights.landed();
        let mut miss = Miss::new(policy, landed);
        let found = self.read(key).await;
        match found.map(|stored| self.entry::<M>(key, stored)) {
            Ok(Some(entry)) => {
                let header = entry.header;
                let now = clock::unix_millis();
                miss.plan.found = true;
                if header.is_expired(now) {
                    inner.counters.expired.inc();
                    miss.stale = policy.allows(&header, now).then_some(entry);
                } else if header.absent && policy.keeps_absence() {
                    inner.counters.hits.inc();
                    return Err(known_absent(entry)).with_context(|| format!("load {key}"));
                } else if header.absent {
                    inner.counters.misses.inc();
                } else if let Some(value) = self.decode(key, entry) {
                    inner.counters.hits.inc();
                    if refresh::is_due(&header, policy.early_refresh, now) {
                        self.refresh(key, policy, loader, landed);
                    }
                    return Ok(value);
                }
            }
            Ok(None) => {}
            Err(error) => {
                miss.plan.reachable = false;
                inner.loads.trouble.unreachable(&error);
            }
        }
        // Apart, so that a hit does not carry the rest about.
        Box::pin(self.load(key, miss, loader)).await
    }
}

/// The answer of a loader that is kept: the same kind and public text, without the causes.
fn known_absent(entry: Entry) -> Error {
    let error = Error::new(Kind::NotFound, "it was not there when it was loaded last");
    match String::decode(entry.body) {
        Ok(public) => error.with_public(public),
        Err(_) => error,
    }
}

/// Whether an expired value is better than a failure of this kind: not where the failure is an
/// answer, such as that the value is gone.
fn is_outage(kind: Kind) -> bool {
    kind.is_retryable() || matches!(kind, Kind::Permanent | Kind::Unknown)
}
