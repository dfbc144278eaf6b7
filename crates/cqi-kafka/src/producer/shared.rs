use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cqi_errors::{Kind, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::error;
use super::sequencer::{Attempt, BatchId, Ending, Finished, Limits, Outcome, Route, Sequencer};
use super::{Delivered, ProducerSettings};
use crate::TopicPartition;
use crate::client::{Client, Interest};
use crate::records::{EncodedBatch, Producer as Numbers};

/// What the handles and the task have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) settings: ProducerSettings,
    started: Instant,
    state: Mutex<State>,
    /// Bytes that may still be buffered.
    pub(super) room: Arc<Semaphore>,
    /// There may be something to send.
    pub(super) wake: Notify,
    /// Some batch has its outcome.
    pub(super) resolved: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) sequencer: Sequencer,
    /// Those without an outcome.
    pub(super) batches: BTreeMap<BatchId, Batch>,
    pub(super) topics: HashMap<Arc<str>, Topic>,
    /// What is about to be sent by each way: not before the task says so.
    pub(super) leaving: HashMap<Route, Vec<Attempt>>,
    pub(super) last: BatchId,
    pub(super) closed: bool,
    /// Why brokers last gave no producer id.
    pub(super) refusal: Option<(Kind, String)>,
}

/// A topic that was sent to lately.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) interest: Arc<Interest>,
    pub(super) used: Duration,
}

/// A batch without an outcome.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) partition: TopicPartition,
    pub(super) records: i32,
    pub(super) deadline: Duration,
    /// Always there.
    pub(super) encoded: Option<EncodedBatch>,
    pub(super) outcome: oneshot::Sender<Result<Delivered>>,
    /// What the last attempt met.
    pub(super) problem: Option<Arc<str>>,
    pub(super) _room: OwnedSemaphorePermit,
    /// Its topic is followed until then.
    pub(super) _interest: Arc<Interest>,
}

impl Shared {
    pub(super) fn new(client: Client, settings: ProducerSettings) -> Self {
        let limits = Limits {
            max_in_flight: settings.max_in_flight,
            retry_backoff: settings.retry_backoff,
            retry_backoff_max: settings.retry_backoff_max,
            connections: settings.connections_per_broker,
        };
        let state = State {
            sequencer: Sequencer::new(limits, fastrand::u64(..)),
            batches: BTreeMap::new(),
            topics: HashMap::new(),
            leaving: HashMap::new(),
            last: BatchId(0),
            closed: false,
            refusal: None,
        };
        Self {
            client,
            room: Arc::new(Semaphore::new(settings.max_buffered_bytes)),
            settings,
            started: Instant::now(),
            state: Mutex::new(state),
            wake: Notify::new(),
            resolved: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No step of a change can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn instant(&self, at: Duration) -> Instant {
        self.started + at
    }

    /// Gives up everything: nothing is sent any more.
    pub(super) fn give_up(&self) {
        self.room.close();
        let mut state = self.state();
        state.closed = true;
        let now = self.now();
        for attempt in std::mem::take(&mut state.leaving).values().flatten() {
            state.sequencer.end(now, attempt, Ending::Unsent);
        }
        state.sequencer.close();
        self.resolve(&mut state);
        state.topics.clear();
    }

    /// Tells callers what is done.
    pub(super) fn resolve(&self, state: &mut State) {
        let finished = state.sequencer.finished();
        if finished.is_empty() {
            return;
        }
        let cluster = Arc::clone(&self.client.cluster().borrow());
        for Finished { batch, outcome } in finished {
            let Some(batch) = state.batches.remove(&batch) else {
                continue;
            };
            let outcome = match outcome {
                Outcome::Delivered {
                    offset,
                    log_append_time,
                } => Ok(Delivered {
                    offset,
                    timestamp: log_append_time,
                }),
                Outcome::Failed {
                    reason,
                    written,
                    attempts,
                } => Err(error::undelivered(
                    &self.settings,
                    &state.refusal,
                    &batch,
                    reason,
                    written,
                    attempts,
                    cluster.leader(&batch.partition).map(|leader| leader.node),
                )),
            };
            // Who dropped the delivery does not want to know.
            let _ = batch.outcome.send(outcome);
        }
        self.resolved.notify_waiters();
    }
}

impl State {
    /// Lets go of topics that nobody sent to for so long.
    pub(super) fn forget(&mut self, now: Duration, idle: Duration) {
        let topics = &mut self.topics;
        topics.retain(|_, topic| now.saturating_sub(topic.used) < idle);
        self.sequencer.forget(|topic| !topics.contains_key(topic));
    }
}

impl Batch {
    /// The bytes to send, which change only when the sequencer says that brokers do not have them.
    pub(super) fn numbered(&mut self, producer: Numbers) -> Option<Bytes> {
        let mut encoded = self.encoded.take()?;
        if encoded.header().producer != producer {
            encoded = encoded.with_producer(producer);
        }
        self.encoded.insert(encoded).bytes().clone().into()
    }
}
