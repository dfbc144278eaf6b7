//! Loading a value again before it expires, so that no reader waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use cqi_errors::{Kind, Result};
use prost::{Message, Name};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use super::keep::Plan;
use super::run::{self, End};
use crate::entry::{Header, NEVER};
use crate::{Cache, Key, LoadPolicy};

/// The most values that are loaded in the background at a time; others expire as if there were no
/// early refresh.
const MOST: usize = 64;

/// Whether to load a value again now, so that it never expires under its readers.
pub(super) fn is_due(header: &Header, beta: f64, now: u64) -> bool {
    // Of (0, 1]: no logarithm of zero.
    is_due_by(1.0 - fastrand::f64(), header, beta, now)
}

/// XFetch of Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention"
/// (VLDB 2015).
///
/// Each reader throws a die that says yes the likelier the nearer the expiry is and the longer the
/// value took to load. So one of many readers begins in time, and what nobody reads is not loaded.
fn is_due_by(random: f64, header: &Header, beta: f64, now: u64) -> bool {
    if header.expires_at == NEVER || header.cost == 0 || beta == 0.0 {
        return false;
    }
    let left = header.expires_at.saturating_sub(now) as f64;
    let cost = f64::from(header.cost) / 1000.0;
    cost * beta * -random.ln() >= left
}

impl Cache {
    /// Loads a value again in the background, unless that is being done, has just failed, or was done
    /// since `landed` flights had, when the value was looked up.
    pub(super) fn refresh<M, F, Fut>(&self, key: &Key, policy: LoadPolicy, loader: F, landed: u64)
    where
        M: Message + Name + Default + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<M>> + Send + 'static,
    {
        let inner = self.inner();
        let id = self.id::<M>(key);
        if inner.loads.pauses.is_on(&id) {
            return;
        }
        let Some(lead) = inner.loads.flights.begin(id) else {
            return;
        };
        if lead.is_late(landed) {
            return;
        }
        let plan = Plan {
            found: true,
            early: true,
            ..Plan::new(policy)
        };
        let limit = inner.load_timeout;
        // The task must not keep the cache: when its last handle is dropped, the task ends.
        let cache = self.downgrade();
        let weak = Arc::downgrade(inner);
        let key = key.clone();
        let span = span(&key);
        let task = async move {
            if lead.is_superseded() {
                return;
            }
            let ran = run::to_end(loader, run::deadline(limit), limit, weak).await;
            let Some(cache) = cache.upgrade() else { return };
            let error = match ran.end {
                End::Loaded(value) => return cache.keep(&lead, &key, plan, &value, ran.took).await,
                End::Failed(error) => error,
                End::Panicked(_) => run::panicked(),
            };
            let error = cache.fail(&lead, &key, plan, error).await;
            if error.kind() != Kind::NotFound {
                cache.inner().loads.trouble.early(&key, &error);
            }
        };
        if inner.loads.background.spawn(task.instrument(span)) {
            inner.counters.loads.inc();
            inner.counters.refreshed.inc();
        }
    }
}

/// A trace of its own, since the request ends without it; what set it off is linked.
fn span(key: &Key) -> Span {
    let span = tracing::info_span!(
        target: "cqi_cache::refresh",
        parent: None,
        "refresh",
        otel.kind = "internal",
        key = %key,
    );
    span.follows_from(Span::current());
    span
}

/// The tasks that load in the background; they end with the cache.
#[derive(Debug)]
pub(super) struct Background {
    /// `None` once closed.
    tasks: Mutex<Option<JoinSet<()>>>,
}

impl Default for Background {
    fn default() -> Self {
        Self {
            tasks: Mutex::new(Some(JoinSet::new())),
        }
    }
}

impl Background {
    /// Runs a task unless there are too many; returns whether it does.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = tasks.as_mut() else {
            return false;
        };
        while tasks.try_join_next().is_some() {}
        let room = tasks.len() < MOST;
        if room {
            tasks.spawn(task);
        }
        room
    }

    /// Aborts the tasks and waits for their end.
    pub(super) async fn close(&self) {
        let tasks = self
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_due(left: u64, cost: u32, beta: f64, random: f64) -> bool {
        let header = Header {
            tag: 0,
            absent: false,
            expires_at: 1_000 + left,
            cost,
            version: 0,
        };
        is_due_by(random, &header, beta, 1_000)
    }

    #[test]
    fn the_die_decides_within_a_few_times_the_cost() {
        // 100 ms, and -ln(1/e) is 1.
        let random = (-1.0_f64).exp();
        assert!(is_due(100, 100_000, 1.0, random * 0.999));
        assert!(!is_due(100, 100_000, 1.0, random * 1.001));
        assert!(is_due(200, 100_000, 2.0, random * 0.999));
        assert!(!is_due(101, 100_000, 1.0, random));
    }

    #[test]
    fn less_than_a_millisecond_counts() {
        assert!(is_due(1, 300, 1.0, (-4.0_f64).exp()));
        assert!(!is_due(2, 300, 1.0, (-4.0_f64).exp()));
    }

    #[test]
    fn what_cannot_expire_or_has_no_cost_is_not_due() {
        let least = f64::MIN_POSITIVE;
        assert!(!is_due(NEVER - 1_000, u32::MAX, f64::MAX, least));
        assert!(!is_due(1, 0, f64::MAX, least));
        assert!(!is_due(1, 1_000, 0.0, least));
        assert!(!is_due(1, u32::MAX, 1.0, 1.0));
    }
}
