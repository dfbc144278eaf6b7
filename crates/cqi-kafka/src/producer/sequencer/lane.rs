use std::collections::VecDeque;
use std::time::Duration;

use super::batch::{Batch, Finished, Reason};
use super::{AttemptId, Route, Written};
use crate::TopicPartition;
use crate::records::Producer;

/// A producer id and an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

impl Identity {
    /// The one whose epoch is the next, if there is one.
    pub(super) fn next(self) -> Option<Self> {
        let epoch = self.epoch.checked_add(1)?;
        Some(Self { epoch, ..self })
    }

    /// One that shuts out what was sent under another.
    pub(super) fn beyond(self, other: Self) -> Option<Self> {
        if self.id != other.id || self.epoch > other.epoch {
            return Some(self);
        }
        other.next()
    }
}

/// A batch with a sequence number.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) batch: Batch,
    pub(super) sequence: i32,
    /// None when it is due.
    pub(super) flight: Option<AttemptId>,
    /// One behind it is in the log, while its own answer is outstanding.
    pub(super) proven: bool,
    /// The one before it is not in the log and never will be: so it is with this one.
    pub(super) ruled_out: bool,
}

/// What a lane has to send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    Again(usize),
    New,
}

/// How long an acknowledgement shows that the broker knows the producer.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// One partition.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) partition: TopicPartition,
    /// The way to the last leader.
    pub(super) route: Option<Route>,
    /// Whether that is known to be the leader still.
    pub(super) led: bool,
    /// None until there is one that is not used up.
    pub(super) identity: Option<Identity>,
    pub(super) next_sequence: i32,
    /// With a sequence, in that order.
    pub(super) window: VecDeque<Sent>,
    /// Without one, in the order of the calls.
    pub(super) queue: VecDeque<Batch>,
    /// An attempt failed: nothing is sent until those under way have ended.
    pub(super) draining: bool,
    /// A sequence may be missing: this epoch ends with the window.
    pub(super) broken: bool,
    /// The producer id is somebody else's too.
    pub(super) fenced: bool,
    pub(super) acknowledged_at: Option<Duration>,
    pub(super) resume_at: Duration,
    /// In a row.
    pub(super) failures: u32,
    /// Some attempt since the last pause failed.
    pub(super) failing: bool,
}

impl Lane {
    pub(super) const fn new(partition: TopicPartition) -> Self {
        Self {
            partition,
            route: None,
            led: false,
            identity: None,
            next_sequence: 0,
            window: VecDeque::new(),
            queue: VecDeque::new(),
            draining: false,
            broken: false,
            fenced: false,
            acknowledged_at: None,
            resume_at: Duration::ZERO,
            failures: 0,
            failing: false,
        }
    }

    /// How the leader is reached.
    pub(super) fn leader(&self) -> Option<Route> {
        self.route.filter(|_| self.led)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.window.is_empty() && self.queue.is_empty()
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.window.iter().any(|sent| sent.flight.is_some())
    }

    /// What may be sent now.
    pub(super) fn next(&self, now: Duration, max_in_flight: usize) -> Option<(Next, &Batch)> {
        if now < self.resume_at || self.draining {
            return None;
        }
        if let Some(due) = self.window.iter().position(|sent| sent.flight.is_none()) {
            return Some((Next::Again(due), &self.window[due].batch));
        }
        let known = self
            .acknowledged_at
            .is_some_and(|at| now.saturating_sub(at) < KNOWN_FOR);
        let limit = if known { max_in_flight } else { 1 };
        if self.broken || self.identity.is_none() || self.window.len() >= limit {
            return None;
        }
        self.queue.front().map(|batch| (Next::New, batch))
    }

    /// Takes what [`next`](Self::next) named.
    pub(super) fn start(&mut self, next: Next, attempt: AttemptId) -> Option<(&Batch, Producer)> {
        let identity = self.identity?;
        let at = match next {
            Next::Again(at) => at,
            Next::New => {
                let batch = self.queue.pop_front()?;
                let sequence = self.next_sequence;
                self.next_sequence = advance(sequence, batch.new.records);
                self.window.push_back(Sent {
                    batch,
                    sequence,
                    flight: None,
                    proven: false,
                    ruled_out: false,
                });
                self.window.len() - 1
            }
        };
        self.failing = false;
        let sent = self.window.get_mut(at)?;
        sent.flight = Some(attempt);
        sent.batch.attempts += 1;
        let producer = Producer {
            id: identity.id,
            epoch: identity.epoch,
            base_sequence: sent.sequence,
        };
        Some((&sent.batch, producer))
    }

    /// Gives up what is late, and says what became of it.
    pub(super) fn expire(&mut self, now: Duration, finished: &mut Vec<Finished>) {
        while let Some(at) = self
            .window
            .iter()
            .position(|sent| sent.batch.new.deadline <= now)
        {
            let code = self.window[at].batch.last_code;
            self.give_up(at, Reason::Expired(code), finished);
            self.settle();
        }
        while self
            .queue
            .front()
            .is_some_and(|batch| batch.new.deadline <= now)
            && let Some(batch) = self.queue.pop_front()
        {
            finished.push(batch.failed(Reason::Expired(batch.last_code), Written::No));
        }
    }

    /// When something happens here by itself.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let window = self.window.iter().map(|sent| sent.batch.new.deadline);
        let queue = self.queue.front().map(|batch| batch.new.deadline);
        let resume = (self.resume_at > now).then_some(self.resume_at);
        window.chain(queue).chain(resume).min()
    }
}

/// The sequence that follows a batch: after 2,147,483,647 comes 0.
const fn advance(sequence: i32, records: i32) -> i32 {
    match sequence.checked_add(records) {
        Some(next) => next,
        None => records - (i32::MAX - sequence) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_as_in_java() {
        assert_eq!(advance(0, 7), 7);
        assert_eq!(advance(i32::MAX - 1, 1), i32::MAX);
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 2, 5), 2);
    }
}
