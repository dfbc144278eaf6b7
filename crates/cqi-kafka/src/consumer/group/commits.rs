use std::collections::BTreeMap;
use std::future::pending;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::TopicPartition;
use crate::client::Pauses;
use crate::membership::{CommitError, Offset};

pub(super) type Offsets = BTreeMap<TopicPartition, Offset>;

/// Offsets to commit, and who wants to know.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) offsets: Offsets,
    /// How often all had been lost when this was asked for.
    pub(super) losses: u64,
    pub(super) outcome: oneshot::Sender<Result<(), CommitError>>,
}

/// Commits in the order of the calls: the first is tried until it is through, or nobody waits for
/// it any more, and the others stand behind it.
#[derive(Debug)]
pub(super) struct Commits {
    queue: mpsc::Receiver<Commit>,
    first: Option<Commit>,
    /// When to try the first; none while the broker has it.
    due: Option<Instant>,
    pauses: Pauses,
}

impl Commits {
    pub(super) const fn new(queue: mpsc::Receiver<Commit>, pauses: Pauses) -> Self {
        Self {
            queue,
            first: None,
            due: None,
            pauses,
        }
    }

    /// Waits until offsets are to be tried, and says how often all had been lost when that was asked
    /// for; none when no more will come. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<(Offsets, u64)> {
        loop {
            let Some(first) = &mut self.first else {
                self.first = Some(self.queue.recv().await?);
                self.due = Some(Instant::now());
                self.pauses.reset();
                continue;
            };
            let Some(due) = self.due else {
                return pending().await;
            };
            tokio::select! {
                biased;
                () = first.outcome.closed() => self.first = None,
                () = sleep_until(due) => {
                    self.due = None;
                    return Some((first.offsets.clone(), first.losses));
                }
            }
        }
    }

    /// Tells what came of the first one, or has it tried again.
    pub(super) fn tried(&mut self, outcome: Result<(), CommitError>) {
        if outcome == Err(CommitError::Unavailable) {
            self.due = Some(Instant::now() + self.pauses.next());
        } else if let Some(first) = self.first.take() {
            // Nobody waits any more: the outcome is lost on purpose.
            let _ = first.outcome.send(outcome);
        }
    }

    /// Tries the first one now, unless the broker has it.
    pub(super) fn hurry(&mut self) {
        self.due = self.due.map(|due| due.min(Instant::now()));
    }

    /// Takes no more.
    pub(super) fn close(&mut self) {
        self.queue.close();
    }
}
