use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cqi_errors::Result;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::commits::Commit;
use super::error::{closed, commit_error, commit_timeout};
use super::shared::Shared;
use super::status::GroupStatus;
use crate::TopicPartition;
use crate::consumer::fetch::{Fetcher, Position, StartPosition};
use crate::membership::{CommitError, Offset};

/// Commits, pauses and seeks for a [`GroupConsumer`](super::GroupConsumer), from any task.
///
/// Cheap to clone. It does not keep the consumer alive.
#[derive(Debug, Clone)]
pub struct GroupHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) commits: mpsc::Sender<Commit>,
    pub(super) fetcher: Weak<Fetcher>,
    pub(super) commit_timeout: Duration,
}

impl GroupHandle {
    /// Commits offsets; see [`GroupConsumer::commit`](super::GroupConsumer::commit).
    ///
    /// # Errors
    ///
    /// As there; `Cancelled` when the consumer was closed or dropped.
    pub async fn commit(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<()> {
        let offsets = offsets.into_iter().collect();
        let group = &self.shared.group;
        let begun = Instant::now();
        let committing = timeout(self.commit_timeout, self.try_commit(offsets)).await;
        let failure = || self.shared.failure_since(begun);
        match committing {
            Ok(Some(outcome)) => outcome.map_err(|error| commit_error(group, &error, failure())),
            Ok(None) => {
                self.shared.check()?;
                Err(closed(group))
            }
            Err(_) => Err(commit_timeout(group, self.commit_timeout, failure())),
        }
    }

    /// Returns nothing if the task is gone.
    async fn try_commit(
        &self,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> Option<Result<(), CommitError>> {
        let (outcome, told) = oneshot::channel();
        let commit = Commit {
            offsets,
            losses: self.shared.losses(),
            outcome,
        };
        self.commits.send(commit).await.ok()?;
        told.await.ok()
    }

    /// Stops delivering records of these partitions until they are resumed; they stay owned.
    ///
    /// Partitions that the member does not own are passed over. A partition that leaves the member
    /// and comes back is no longer paused.
    pub fn pause(&self, partitions: &BTreeSet<TopicPartition>) {
        if let Some(fetcher) = self.fetcher.upgrade() {
            fetcher.pause(partitions);
        }
    }

    /// Goes on with partitions that were paused, where they stopped.
    pub fn resume(&self, partitions: &BTreeSet<TopicPartition>) {
        if let Some(fetcher) = self.fetcher.upgrade() {
            fetcher.resume(partitions);
        }
    }

    /// Goes on at another offset; records that were fetched and not delivered are dropped.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a negative offset and for a partition that is not assigned, `Cancelled`
    /// when the consumer was closed or dropped.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.fetcher()?.seek(partition, offset)
    }

    /// Goes on at the earliest or latest record, or at the first of a time.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    pub fn seek_to(&self, partition: &TopicPartition, start: StartPosition) -> Result<()> {
        self.fetcher()?.seek_to(partition, start)
    }

    /// Returns the position of each partition that was [assigned](super::Event::Assigned).
    #[must_use]
    pub fn positions(&self) -> BTreeMap<TopicPartition, Position> {
        let fetcher = self.fetcher.upgrade();
        fetcher
            .map(|fetcher| fetcher.positions())
            .unwrap_or_default()
    }

    /// Returns where the member stands.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        GroupStatus::new(self.shared.standing(), self.positions())
    }

    fn fetcher(&self) -> Result<Arc<Fetcher>> {
        let fetcher = self.fetcher.upgrade();
        fetcher.ok_or_else(|| closed(&self.shared.group))
    }
}
