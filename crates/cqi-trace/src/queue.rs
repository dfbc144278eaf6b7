//! The spans that wait to be exported, and what became of the others.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::{Notify, watch};

/// The bytes that all spans have together, for each that there is room for.
const BYTES_PER_SPAN: usize = 16 * 1024;
/// The most bytes of spans in one export: collectors refuse messages of more than 4 MiB unless told.
pub(crate) const BATCH_BYTES: usize = 3 * 1024 * 1024;

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
    spans: Vec<Waiting>,
    /// Of all spans that wait, those on their way included.
    bytes: usize,
    stats: TraceStats,
    /// No span is taken any more.
    closed: bool,
    /// Nobody exports any more.
    ended: bool,
}

/// A span that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) span: SpanData,
    /// The bytes that it takes up, about; not less than it has on the wire.
    pub(crate) bytes: usize,
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
    pub(crate) fn push(&self, span: Waiting) {
        let mut state = self.lock();
        let has_room = state.stats.waiting < self.room as u64
            && state.bytes < self.room.saturating_mul(BYTES_PER_SPAN);
        if state.closed || !has_room {
            state.stats.dropped += 1;
            drop(state);
            return;
        }
        let batches = state.bytes / BATCH_BYTES;
        state.bytes += span.bytes;
        state.spans.push(span);
        state.stats.waiting += 1;
        let full = state.spans.len() == self.batch || state.bytes / BATCH_BYTES > batches;
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
    pub(crate) fn take(&self, spans: &mut Vec<Waiting>) {
        std::mem::swap(&mut self.lock().spans, spans);
    }

    /// Counts spans that were taken, and frees their room. Once all was given up they are counted.
    pub(crate) fn settle(&self, exported: u64, dropped: u64, bytes: usize) {
        let mut state = self.lock();
        if !state.ended {
            state.bytes -= bytes;
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};

    use super::*;

    fn span(bytes: usize) -> Waiting {
        let span = SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "x".into(),
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: Default::default(),
        };
        Waiting { span, bytes }
    }

    fn counts(queue: &Queue) -> (u64, u64, u64) {
        let stats = queue.stats();
        (stats.exported, stats.dropped, stats.waiting)
    }

    #[test]
    fn spans_on_their_way_when_all_is_given_up_are_counted_once() {
        let queue = Queue::new(8, 8);
        let mut taken = Vec::new();
        for _ in 0..3 {
            queue.push(span(1));
        }
        queue.take(&mut taken);
        queue.push(span(1));
        assert_eq!(queue.close(Duration::ZERO), 4);
        queue.settle(2, 1, 3);
        assert_eq!(counts(&queue), (0, 4, 0));
        queue.push(span(1));
        assert_eq!(queue.close(Duration::MAX), 0);
        assert_eq!(counts(&queue), (0, 5, 0));
    }

    #[test]
    fn spans_have_no_more_bytes_than_there_is_room_for() {
        let queue = Queue::new(4, 4);
        queue.push(span(BYTES_PER_SPAN * 3));
        queue.push(span(BYTES_PER_SPAN));
        queue.push(span(1));
        assert_eq!(counts(&queue), (0, 1, 2));
        queue.settle(1, 0, BYTES_PER_SPAN);
        queue.push(span(1));
        assert_eq!(counts(&queue), (1, 1, 2));
    }

    #[tokio::test]
    async fn a_batch_is_full_by_its_spans_or_its_bytes() {
        use tokio::time::timeout;

        let queue = Queue::new(10_000, 3);
        let soon = Duration::from_millis(1);
        let mut taken = Vec::new();
        for (bytes, full) in [
            (1, false),
            (1, false),
            (1, true),
            (BATCH_BYTES, true),
            (1, false),
        ] {
            queue.push(span(bytes));
            assert_eq!(timeout(soon, queue.filled()).await.is_ok(), full);
            if full {
                queue.take(&mut taken);
                taken.clear();
            }
        }
    }
}
