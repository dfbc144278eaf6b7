//! The spans that wait to be exported, and what became of the others.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::{Notify, watch};

/// A bounded queue of ended spans, which counts what becomes of each.
///
/// Each span that ends is at any time either exported, dropped or waiting. One that is being
/// exported still waits, and takes up room.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    room: usize,
    batch: usize,
    /// Wakes the exporter when a batch is full: once per batch, since waking costs a system call.
    filled: Notify,
    phase: watch::Sender<Phase>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<SpanData>,
    stats: TraceStats,
    /// No span is taken any more.
    closed: bool,
    /// Nobody exports any more.
    ended: bool,
}

/// What the exporter shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Export batch by batch.
    Open,
    /// Export what waits, without trying again, and end.
    Closing,
    /// End at once.
    Abandoned,
}

/// What became of the spans that ended so far; each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStats {
    /// The spans that the collector accepted.
    pub exported: u64,
    /// The spans that were lost: the queue was full, the collector refused them or was not reached,
    /// or they ended after shutdown or were not delivered by its end.
    pub dropped: u64,
    /// The spans that wait to be exported or are on their way.
    pub waiting: u64,
}

impl Queue {
    pub(crate) fn new(room: usize, batch: usize) -> Self {
        Self {
            state: Mutex::default(),
            room,
            batch,
            filled: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
            ended: Condvar::new(),
        }
    }

    /// Takes in a span that ended, or drops it.
    pub(crate) fn push(&self, span: SpanData) {
        let mut state = self.lock();
        if state.closed || state.stats.waiting >= self.room as u64 {
            state.stats.dropped += 1;
            drop(state);
            return;
        }
        state.spans.push(span);
        state.stats.waiting += 1;
        let full = state.spans.len() == self.batch;
        drop(state);
        if full {
            self.filled.notify_one();
        }
    }

    /// Waits until a batch is full.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Moves all spans that wait into an empty vector, whose memory the next ones use.
    pub(crate) fn take(&self, spans: &mut Vec<SpanData>) {
        std::mem::swap(&mut self.lock().spans, spans);
    }

    /// Counts spans that were taken.
    pub(crate) fn settle(&self, exported: u64, dropped: u64) {
        let mut state = self.lock();
        if !state.ended {
            state.stats.exported += exported;
            state.stats.dropped += dropped;
            state.stats.waiting -= exported + dropped;
        }
    }

    pub(crate) fn stats(&self) -> TraceStats {
        self.lock().stats
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Takes no more spans, and waits until those that wait are settled or the time is over; then
    /// they are dropped. Returns how many were dropped meanwhile.
    pub(crate) fn close(&self, timeout: Duration) -> u64 {
        let mut state = self.lock();
        let dropped = state.stats.dropped;
        state.closed = true;
        self.advance(Phase::Closing);
        let (mut state, _) = self
            .ended
            .wait_timeout_while(state, timeout, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        end(&mut state);
        self.advance(Phase::Abandoned);
        state.stats.dropped - dropped
    }

    /// Says that nobody exports any more: what still waits is lost.
    pub(crate) fn end(&self) {
        end(&mut self.lock());
        self.ended.notify_all();
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = *phase < to;
            *phase = to.max(*phase);
            later
        });
    }

    /// No state is ever half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(state: &mut State) {
    state.closed = true;
    state.ended = true;
    state.stats.dropped += std::mem::take(&mut state.stats.waiting);
    state.spans = Vec::new();
}
