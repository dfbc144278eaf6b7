use std::time::Duration;

use crate::TopicPartition;
use crate::records::Producer;

/// Names a batch; the shell counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Names one sending of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub(super) u64);

/// A batch to be sent behind those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewBatch {
    /// Comes back in [`Attempt`] and [`Finished`].
    pub id: BatchId,
    /// How many records it has: its sequence numbers.
    pub records: i32,
    /// Its size in a request.
    pub bytes: usize,
    /// When its caller is told, at the latest; not before that of an earlier batch.
    pub deadline: Duration,
}

/// What to send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Comes back with the [`Ending`].
    pub id: AttemptId,
    /// Where it goes.
    pub partition: TopicPartition,
    /// What goes.
    pub batch: BatchId,
    /// How it is numbered: the same as the last time, unless the broker is known not to have it.
    pub producer: Producer,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The broker answered.
    Answered {
        /// Of the partition.
        code: i16,
        /// -1 when the broker does not know it.
        base_offset: i64,
        /// When it was appended, in milliseconds since 1970; -1 when records keep their own times.
        log_append_time: i64,
    },
    /// No answer will come, and nothing tells whether the broker has it.
    Lost,
    /// It never left.
    Unsent,
}

/// Whether a batch that failed is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Written {
    /// It is not, and never will be: publishing the records again is safe.
    No,
    /// It may be, or come to be: publishing the records again may duplicate them.
    Unknown,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is in the log, once.
    Delivered {
        /// Of its first record; `None` when the broker knows only that it is there.
        offset: Option<i64>,
        /// When it was appended, if the topic's records bear that time.
        log_append_time: Option<i64>,
    },
    /// It was given up.
    Failed {
        /// Why.
        reason: Reason,
        /// What that means for the log.
        written: Written,
        /// How often it was sent.
        attempts: u32,
    },
}

/// Why a batch was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A broker refused it with this code.
    Refused(i16),
    /// Its deadline came; the broker's last code, if the last attempt was answered.
    Expired(Option<i16>),
    /// The producer was closed.
    Closed,
    /// There is no producer id to be had.
    Unidentified,
}

/// A batch that needs no more attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Which.
    pub batch: BatchId,
    /// What became of it.
    pub outcome: Outcome,
}

/// A batch from its arrival to its outcome.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) new: NewBatch,
    /// Some attempt ended without proof that the broker does not have it.
    pub(super) doubtful: bool,
    pub(super) attempts: u32,
    /// Attempts that the broker found corrupt.
    pub(super) corrupt: u32,
    pub(super) last_code: Option<i16>,
}

impl Batch {
    pub(super) const fn new(new: NewBatch) -> Self {
        Self {
            new,
            doubtful: false,
            attempts: 0,
            corrupt: 0,
            last_code: None,
        }
    }

    pub(super) const fn delivered(&self, base_offset: i64, log_append_time: i64) -> Finished {
        Finished {
            batch: self.new.id,
            outcome: Outcome::Delivered {
                offset: known(base_offset),
                log_append_time: known(log_append_time),
            },
        }
    }

    pub(super) const fn failed(&self, reason: Reason, written: Written) -> Finished {
        Finished {
            batch: self.new.id,
            outcome: Outcome::Failed {
                reason,
                written,
                attempts: self.attempts,
            },
        }
    }
}

const fn known(n: i64) -> Option<i64> {
    if n < 0 { None } else { Some(n) }
}
