//! What the end of an attempt means for its batch, and for those around it.

use std::time::Duration;

use super::batch::{Finished, Reason};
use super::lane::{Identity, Lane, Sent};
use super::verdict::Verdict;
use super::{AttemptId, Ending, Written};

/// How often a batch is sent that arrives corrupt.
const MAX_CORRUPT: u32 = 3;

/// What the machine does next for a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sequel {
    /// Ask for the leaders again.
    pub(super) stale: bool,
    /// Wait before the next attempt.
    pub(super) pause: bool,
}

impl Lane {
    pub(super) fn end(
        &mut self,
        now: Duration,
        attempt: AttemptId,
        ending: Ending,
        finished: &mut Vec<Finished>,
    ) -> Sequel {
        let mut flights = self.window.iter().map(|sent| sent.flight);
        let Some(at) = flights.position(|flight| flight == Some(attempt)) else {
            return Sequel::default();
        };
        let sent = &mut self.window[at];
        sent.flight = None;
        let proven = std::mem::take(&mut sent.proven);
        let (code, verdict) = match ending {
            Ending::Answered { code, .. } => (Some(code), Verdict::of(code)),
            Ending::Lost => (None, retry(true)),
            Ending::Unsent => (None, retry(false)),
        };
        sent.batch.last_code = code;
        let mut sequel = Sequel::default();
        match verdict {
            Verdict::Written => {
                let (base_offset, log_append_time) = match ending {
                    Ending::Answered {
                        base_offset,
                        log_append_time,
                        ..
                    } => (base_offset, log_append_time),
                    Ending::Lost | Ending::Unsent => (-1, -1),
                };
                finished.push(sent.batch.delivered(base_offset, log_append_time));
                self.window.remove(at);
                self.prove(at, finished);
                self.acknowledged_at = Some(now);
                self.failures = 0;
            }
            Verdict::OutOfOrder => {
                // What comes behind another is tried again when that one is.
                sequel.pause = at == 0 && !sent.ruled_out;
            }
            Verdict::Corrupt => {
                sent.batch.corrupt += 1;
                sequel.pause = true;
            }
            Verdict::Retry { doubtful, stale } => {
                sent.batch.doubtful |= doubtful;
                sequel = Sequel { stale, pause: true };
            }
            Verdict::Fenced => self.fenced = true,
            Verdict::Refused { doubtful } => sent.batch.doubtful |= doubtful,
        }
        self.draining |= verdict != Verdict::Written;
        if let Some(sent) = self.window.get(at).filter(|_| verdict != Verdict::Written) {
            let refused = matches!(verdict, Verdict::Fenced | Verdict::Refused { .. })
                || sent.batch.corrupt >= MAX_CORRUPT;
            if proven && sent.batch.doubtful {
                finished.push(sent.batch.delivered(-1, -1));
                self.window.remove(at);
            } else if let Some(code) = code.filter(|_| refused) {
                self.give_up(at, Reason::Refused(code), finished);
            }
        }
        self.settle();
        sequel
    }

    /// The batch that was at `end` is in the log: so are those before it that can be.
    fn prove(&mut self, end: usize, finished: &mut Vec<Finished>) {
        let mut at = 0;
        for _ in 0..end {
            let sent = &mut self.window[at];
            if sent.flight.is_none() && sent.batch.doubtful {
                finished.push(sent.batch.delivered(-1, -1));
                self.window.remove(at);
            } else {
                // Its own answer tells its offset, or that the proof was none.
                sent.proven = sent.flight.is_some();
                at += 1;
            }
        }
    }

    /// Takes a batch out of the window with its sequence.
    pub(super) fn give_up(&mut self, at: usize, reason: Reason, finished: &mut Vec<Finished>) {
        let Some(sent) = self.window.remove(at) else {
            return;
        };
        if sent.proven {
            finished.push(sent.batch.delivered(-1, -1));
            return;
        }
        let certain = sent.ruled_out || !(sent.batch.doubtful || sent.flight.is_some());
        let written = if certain {
            Written::No
        } else {
            Written::Unknown
        };
        finished.push(sent.batch.failed(reason, written));
        self.broken = true;
        for behind in self.window.range_mut(at..) {
            behind.ruled_out |= certain;
        }
    }

    /// Draws the conclusions, once no answer is outstanding that may change them.
    pub(super) fn settle(&mut self) {
        if self.is_in_flight() {
            return;
        }
        self.draining = false;
        if let Some(from) = self.window.iter().position(|sent| sent.ruled_out) {
            self.withdraw(from);
        }
        // What was before it is not there and will not be sent again, or a broker lost it.
        let misfit =
            |sent: &Sent| !sent.batch.doubtful && sent.batch.last_code.is_some_and(out_of_order);
        if self.window.front().is_some_and(misfit) {
            self.withdraw(0);
        }
        if self.broken && self.window.is_empty() {
            self.renew();
        }
    }

    /// Puts batches back into the queue that are not in the log and cannot get there any more.
    fn withdraw(&mut self, from: usize) {
        for sent in self.window.drain(from..).rev() {
            let mut batch = sent.batch;
            batch.doubtful = false;
            self.queue.push_front(batch);
        }
        self.broken = true;
    }

    /// Goes on with the next epoch; when there is none, with another producer id.
    fn renew(&mut self) {
        let before = self.identity.filter(|_| !self.fenced);
        self.identity = before.and_then(Identity::next);
        self.next_sequence = 0;
        self.acknowledged_at = None;
        self.broken = false;
        self.fenced = false;
    }
}

fn out_of_order(code: i16) -> bool {
    Verdict::of(code) == Verdict::OutOfOrder
}

const fn retry(doubtful: bool) -> Verdict {
    Verdict::Retry {
        doubtful,
        stale: true,
    }
}
