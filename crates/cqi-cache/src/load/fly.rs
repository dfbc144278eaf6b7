use std::panic::resume_unwind;
use std::sync::Arc;

use cqi_errors::{Error, Result, ResultExt};
use prost::{Message, Name};
use tokio::time::timeout_at;

use super::flight::{Id, Lead, Outcome, Turn};
use super::keep::Plan;
use super::run::{self, End};
use super::{is_outage, known_absent};
use crate::entry::Entry;
use crate::{Cache, Key, LoadPolicy};

/// What a lookup found, if not a value to return.
pub(super) struct Miss {
    pub(super) plan: Plan,
    /// Expired, but to be returned if the loader fails.
    pub(super) stale: Option<Entry>,
    /// Flights that had landed before the lookup.
    landed: u64,
}

impl Miss {
    pub(super) fn new(policy: LoadPolicy, landed: u64) -> Self {
        Self {
            plan: Plan::new(policy),
            stale: None,
            landed,
        }
    }
}

impl Cache {
    /// Takes a value from a loader, this call's or another's, or else the one that has expired.
    pub(super) async fn load<M, F, Fut>(&self, key: &Key, mut miss: Miss, loader: F) -> Result<M>
    where
        M: Message + Name + Default,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<M>>,
    {
        let stale = miss.stale.take();
        let Some(stale) = stale.and_then(|entry| entry.message::<M>().ok()) else {
            let loaded = self.fly(key, miss, loader).await;
            return loaded.with_context(|| format!("load {key}"));
        };
        let inner = self.inner();
        if inner.loads.pauses.is_on(&self.id::<M>(key)) {
            inner.counters.served_stale.inc();
            return Ok(stale);
        }
        match self.fly(key, miss, loader).await {
            Err(error) if is_outage(error.kind()) => {
                inner.counters.served_stale.inc();
                inner.loads.trouble.stale(key, &error);
                Ok(stale)
            }
            loaded => loaded.with_context(|| format!("load {key}")),
        }
    }

    /// Boards the flight of a key, and leads it where nobody else does.
    async fn fly<M, F, Fut>(&self, key: &Key, mut miss: Miss, loader: F) -> Result<M, Arc<Error>>
    where
        M: Message + Name + Default,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<M>>,
    {
        let inner = self.inner();
        let limit = inner.load_timeout;
        let deadline = run::deadline(limit);
        let lead = loop {
            let seat = inner.loads.flights.join(self.id::<M>(key));
            let lead = match timeout_at(deadline, seat.turn()).await {
                Ok(Turn::Lead(lead)) => lead,
                Ok(Turn::Landed(outcome)) => {
                    inner.counters.joined.inc();
                    return share(outcome?);
                }
                Err(_) => return Err(Arc::new(run::too_slow(limit))),
            };
            if let Some(outcome) = self.look_again::<M>(&lead, key, &mut miss).await {
                lead.land(outcome.clone());
                inner.counters.joined.inc();
                return share(outcome?);
            }
            if !lead.is_superseded() {
                break lead;
            }
        };
        inner.counters.loads.inc();
        let ran = run::to_end(loader, deadline, limit, Arc::downgrade(inner)).await;
        match ran.end {
            End::Loaded(value) => {
                self.keep(&lead, key, miss.plan, &value, ran.took).await;
                Ok(value)
            }
            End::Failed(error) => Err(self.fail(&lead, key, miss.plan, error).await),
            End::Panicked(payload) => {
                self.fail(&lead, key, miss.plan, run::panicked()).await;
                drop(lead);
                resume_unwind(payload)
            }
        }
    }

    /// Looks up again where another call's flight landed since the lookup: one that missed what that
    /// brought is no reason to load. The call was counted when it missed.
    async fn look_again<M: Message + Name + Default>(
        &self,
        lead: &Lead,
        key: &Key,
        miss: &mut Miss,
    ) -> Option<Outcome> {
        if !miss.plan.reachable || !lead.is_late(miss.landed) {
            return None;
        }
        let Ok(found) = self.read(key).await else {
            miss.plan.reachable = false;
            return None;
        };
        let limit = self.inner().max_value_size;
        let entry = Entry::parse(found?, lead.id().1, limit).ok()?;
        miss.plan.found = true;
        match entry.header {
            header if header.is_expired_now() => None,
            header if header.absent => {
                let kept = miss.plan.policy.keeps_absence();
                kept.then(|| Err(Arc::new(known_absent(entry))))
            }
            _ => entry.clone().message::<M>().ok().map(|_| Ok(entry)),
        }
    }

    pub(super) fn id<M: Name>(&self, key: &Key) -> Id {
        (key.clone(), self.tag::<M>())
    }
}

/// Decodes what another call loaded. Fields of type `Bytes` are the same memory for all.
fn share<M: Message + Default>(entry: Entry) -> Result<M, Arc<Error>> {
    entry.message().map_err(|_| {
        Arc::new(Error::permanent(
            "what another call loaded does not decode: its message is nested too deeply",
        ))
    })
}
