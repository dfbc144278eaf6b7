//! What becomes of a load: its callers get the outcome, and the cache keeps it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cqi_errors::{Error, Kind};
use prost::{Message, Name};

use super::flight::Lead;
use super::is_outage;
use crate::entry::{self, Entry, HEADER, Header};
use crate::{Cache, Key, LoadPolicy, Ttl};

/// How long to leave a loader alone that failed, where a value can be had without it.
const PAUSE: Duration = Duration::from_secs(1);

/// How a load is kept.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) policy: LoadPolicy,
    /// Whether something was under the key.
    pub(super) found: bool,
    /// Whether the lookup succeeded. A backend that has just failed is not asked again.
    pub(super) reachable: bool,
    /// Whether the value is still good, and nobody waits for the load.
    pub(super) early: bool,
}

impl Plan {
    pub(super) fn new(policy: LoadPolicy) -> Self {
        Self {
            policy,
            found: false,
            reachable: true,
            early: false,
        }
    }
}

impl Cache {
    /// Gives all callers what was loaded, and stores it.
    pub(super) async fn keep<M: Message + Name>(
        &self,
        lead: &Lead,
        key: &Key,
        plan: Plan,
        value: &M,
        took: Duration,
    ) {
        let inner = self.inner();
        let ttl = plan.policy.ttl.resolve(inner.default_ttl);
        let ttl = ttl.map(|ttl| shortened(ttl, inner.ttl_jitter, fastrand::f64()));
        let header = Header {
            cost: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            ..Header::new(self.tag::<M>(), ttl)
        };
        let stored = entry::encode(&header, value);
        let body = stored.slice(HEADER..);
        let size = body.len() as u64;
        lead.land(Ok(Entry { header, body }));
        inner.loads.pauses.end(lead.id());
        if size > inner.max_value_size {
            inner.counters.not_kept.inc();
            inner
                .loads
                .trouble
                .too_large(key, size, inner.max_value_size);
            return;
        }
        let keep = ttl.and_then(|ttl| {
            let keep = ttl.saturating_add(plan.policy.stale_if_error);
            Ttl::After(keep).resolve(keep)
        });
        self.write_back(lead, key, plan, Some((stored, keep))).await;
    }

    /// Gives all callers the error, and keeps what there is to keep of it.
    pub(super) async fn fail(
        &self,
        lead: &Lead,
        key: &Key,
        plan: Plan,
        error: Error,
    ) -> Arc<Error> {
        let inner = self.inner();
        match error.kind() {
            Kind::NotFound => {}
            Kind::Timeout => inner.counters.load_timeouts.inc(),
            _ => inner.counters.load_errors.inc(),
        }
        let error = Arc::new(error);
        lead.land(Err(Arc::clone(&error)));
        if error.kind() == Kind::NotFound {
            let ttl = plan.policy.not_found;
            let absent = plan.policy.keeps_absence();
            let absent = absent.then(|| absent_entry(lead, ttl, &error));
            if absent.is_some() || plan.found {
                self.write_back(lead, key, plan, absent).await;
            }
        } else if plan.early || (is_outage(error.kind()) && plan.policy.may_be_stale()) {
            let pause = error.retry_after().unwrap_or(PAUSE);
            inner.loads.pauses.begin(lead.id().clone(), pause);
        }
        error
    }

    /// Stores an entry, or deletes what is there; not where something newer is about to be there.
    async fn write_back(
        &self,
        lead: &Lead,
        key: &Key,
        plan: Plan,
        entry: Option<(Bytes, Option<Duration>)>,
    ) {
        let counters = &self.inner().counters;
        if !plan.reachable {
            counters.not_kept.inc();
            return;
        }
        let Some(_storing) = lead.storing().await else {
            return;
        };
        let written = match entry {
            Some((stored, keep)) if plan.policy.keep_newer => {
                self.write_versioned(key, stored, keep).await.map(drop)
            }
            Some((stored, keep)) => self.write(key, stored, keep).await,
            None => self.remove(key).await.map(drop),
        };
        if let Err(error) = written {
            counters.not_kept.inc();
            self.inner().loads.trouble.not_kept(&error);
        }
    }
}

/// An entry that says that there is nothing, with the words for clients; and how long to keep it.
fn absent_entry(lead: &Lead, ttl: Duration, error: &Error) -> (Bytes, Option<Duration>) {
    let ttl = Ttl::After(ttl).resolve(ttl);
    let header = Header {
        absent: true,
        ..Header::new(lead.id().1, ttl)
    };
    let public = error.public_message().to_owned();
    (entry::encode(&header, &public), ttl)
}

/// A time less a random part of it.
fn shortened(ttl: Duration, jitter: f64, random: f64) -> Duration {
    let millis = ttl.as_millis() as f64 * (1.0 - jitter * random);
    Duration::from_millis((millis as u64).max(1))
}
