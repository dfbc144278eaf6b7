//! Brings the records of partitions, from their leaders, within bounds.
//!
//! The [`plan`] knows what to fetch and what to deliver; a [`lane`](lane::Lane) carries its requests
//! out over one connection, two of which each leader has.

mod budget;
mod chunk;
mod delivery;
mod lane;
mod plan;
mod position;
mod session;
mod settings;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cqi_errors::{Error, Result};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::TopicPartition;
use crate::client::Client;
use crate::membership::Offset;
use crate::records::Decompressor;
use budget::Budget;
pub use delivery::{IntoRecords, Records};
use plan::Plan;
pub use position::Position;
pub use settings::{FetchSettings, StartPosition};

/// Owns the tasks that fetch; see `close`.
#[derive(Debug)]
pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    /// Reused from batch to batch.
    decompressor: Mutex<Option<Decompressor>>,
    closed: watch::Sender<bool>,
    /// Aborted when dropped.
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

/// What the caller and the tasks have in common.
#[derive(Debug)]
struct Shared {
    client: Client,
    settings: FetchSettings,
    plan: Mutex<Plan>,
    /// There is something to deliver.
    ready: Notify,
    /// There may be something to ask for.
    work: watch::Sender<()>,
    /// Partitions came or went, or offsets are to be looked up.
    control: watch::Sender<()>,
    started: Instant,
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        // No step of a change can panic halfway.
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> plan::Now {
        self.started.elapsed()
    }
}

impl Fetcher {
    pub(crate) fn start(client: Client, settings: FetchSettings) -> Self {
        let (work, control) = (watch::Sender::new(()), watch::Sender::new(()));
        let budget = Budget::new(settings.max_buffered_bytes, work.clone());
        let plan = Plan::new(settings.clone(), client.retry_pauses(), budget);
        let shared = Arc::new(Shared {
            client,
            settings,
            plan: Mutex::new(plan),
            ready: Notify::new(),
            work,
            control,
            started: Instant::now(),
        });
        let closed = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(tasks::run(Arc::clone(&shared), closed.subscribe()));
        Self {
            shared,
            decompressor: Mutex::default(),
            closed,
            tasks: tokio::sync::Mutex::new(tasks),
        }
    }

    /// Takes partitions up; fetching begins when their positions are known.
    pub(crate) fn assign(&self, partitions: &BTreeSet<TopicPartition>) {
        self.shared.plan().assign(partitions);
        self.changed();
    }

    /// Says where assigned partitions begin that have no position yet; without an offset, as the
    /// start position says.
    pub(crate) fn position(&self, positions: Vec<(TopicPartition, Option<Offset>)>) {
        let mut plan = self.shared.plan();
        for (partition, offset) in positions {
            plan.position(&partition, offset);
        }
        drop(plan);
        self.changed();
    }

    /// Gives partitions up: what was fetched and not yet delivered is dropped, what is on its way is ignored.
    pub(crate) fn remove(&self, partitions: &BTreeSet<TopicPartition>) {
        self.shared.plan().remove(partitions);
        self.changed();
    }

    /// Holds partitions back; those that are not assigned are ignored.
    pub(crate) fn pause(&self, partitions: &BTreeSet<TopicPartition>) {
        self.shared.plan().pause(partitions, true);
        // What waits for them may give way to others.
        self.shared.work.send_replace(());
    }

    /// Lets partitions go on where they were.
    pub(crate) fn resume(&self, partitions: &BTreeSet<TopicPartition>) {
        self.shared.plan().pause(partitions, false);
        self.changed();
    }

    /// Goes on at an offset; what was fetched of another is dropped.
    pub(crate) fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.shared.plan().seek(partition, offset)?;
        self.changed();
        Ok(())
    }

    /// Goes on where the log begins or ends, or at a time.
    pub(crate) fn seek_to(&self, partition: &TopicPartition, to: StartPosition) -> Result<()> {
        self.shared.plan().seek_to(partition, to)?;
        self.changed();
        Ok(())
    }

    pub(crate) fn positions(&self) -> BTreeMap<TopicPartition, Position> {
        self.shared.plan().positions()
    }

    /// Wakes everybody.
    fn changed(&self) {
        self.shared.control.send_replace(());
        self.shared.work.send_replace(());
        self.shared.ready.notify_one();
    }

    /// Waits for the next records, partitions in turn; one caller at a time.
    ///
    /// An error concerns one partition, which stays where it is until a seek, or a broker, which is
    /// tried again after a pause; the others go on. Cancel safe.
    pub(crate) async fn next(&self) -> Result<Records> {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.shared.ready.notified().await;
        }
    }

    /// Reads the next page, outside of the lock: nothing else waits for a batch to be decompressed.
    fn try_next(&self) -> Option<Result<Records>> {
        loop {
            if *self.closed.borrow() {
                return Some(Err(Error::cancelled("the consumer is closed")));
            }
            let taken = self.shared.plan().take()?;
            let mut taken = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    self.shared.work.send_replace(());
                    self.shared.control.send_replace(());
                    return Some(Err(error));
                }
            };
            let mut page = {
                let spare = self.decompressor.lock();
                let mut spare = spare.unwrap_or_else(PoisonError::into_inner);
                taken.chunk.read(&self.shared.settings, &mut spare)
            };
            let lease = Arc::clone(&taken.chunk.lease);
            let partition = taken.partition.clone();
            let Some(given_back) = self.shared.plan().give_back(taken, &mut page) else {
                continue;
            };
            if given_back.wakes {
                self.shared.work.send_replace(());
            }
            if !page.records.is_empty() {
                let position = given_back.position;
                return Some(Ok(Records::new(partition, page, position, lease)));
            }
        }
    }

    /// Ends the tasks and waits for them.
    ///
    /// Brokers are not told that their sessions end, other than by the Java client: it would take a
    /// connection beside the one that has the long poll. A session that rests for two minutes gives
    /// way to others.
    pub(crate) async fn close(&self) {
        self.closed.send_replace(true);
        self.shared.ready.notify_one();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }
}
