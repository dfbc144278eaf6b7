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

use self::flight::Flights;
use self::fly::Miss;
use self::pause::Pauses;
use self::refresh::Background;
use self::trouble::Trouble;
use crate::entry::Entry;
use crate::{Cache, Key, LoadPolicy};

/// What a cache knows of its loaders.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    flights: Arc<Flights>,
    pauses: Pauses,
    background: Background,
    trouble: Trouble,
}

impl Loads {
    /// Keeps what is being loaded for a key from being stored over what is about to be there.
    ///
    /// Waits for a store under way; cancelled midway, it has only made callers load again.
    pub(crate) async fn supersede(&self, key: &Key) {
        self.flights.supersede(key).await;
    }

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
    /// Returns the value of a key, and loads and keeps it where it is missing.
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
        policy.check()?;
        let inner = self.inner();
        let mut miss = Miss::new(policy, inner.loads.flights.landed());
        match self.lookup::<M>(key).await {
            Ok(Some(entry)) => {
                let header = entry.header;
                miss.plan.found = true;
                if header.is_expired_now() {
                    inner.counters.expired.inc();
                    miss.stale = policy.allows(&header).then_some(entry);
                } else if header.absent && !policy.not_found.is_zero() {
                    inner.counters.hits.inc();
                    return Err(known_absent(entry)).with_context(|| format!("load {key}"));
                } else if header.absent {
                    inner.counters.misses.inc();
                } else if let Some(value) = self.decode(key, entry) {
                    inner.counters.hits.inc();
                    if refresh::is_due(&header, policy.early_refresh) {
                        self.refresh(key, policy, loader);
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
