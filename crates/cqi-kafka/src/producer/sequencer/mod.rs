//! Numbers the batches of a producer, and decides what becomes of each: idempotent producing as a
//! pure state machine.
//!
//! [`Sequencer`] is told what happened and asked what to send. It opens no socket, reads no clock and
//! draws no random number that its seed does not fix, so that a test can drive it through any order
//! of losses, delays and refusals. A shell around it
//! - asks for a producer id when [`Sequencer::wants_identity`] says so;
//! - sends what [`Sequencer::drain`] hands out over the connection that it names, in that order, and
//!   reports exactly one [`Ending`] for each;
//! - tells the callers what [`Sequencer::finished`] lists;
//! - calls [`Sequencer::tick`] when [`Sequencer::deadline`] has come, and [`Sequencer::forget`] now and
//!   then.
//!
//! A time is the duration since any fixed moment.
//!
//! # Why nothing is written twice, and nothing out of order
//!
//! A broker remembers, by producer id and partition, the epoch and the last five batches. It appends a
//! batch of that epoch only if its sequence follows the last one's, answers a batch that it remembers
//! with the offset of the first time, and refuses an older epoch. What it is sent must suit that:
//!
//! 1. *At most five batches of a partition are unresolved*, with consecutive sequences. So each of
//!    them is among the five that the broker remembers, however many copies of it are on their way.
//! 2. *A batch is sent again with the same epoch, sequence and bytes*, all that are due in order, and
//!    only once no answer is outstanding. An attempt whose connection broke, or that was
//!    answered with a code that does not rule out an append (`NOT_LEADER_OR_FOLLOWER` and
//!    `REQUEST_TIMED_OUT` do not), makes the batch *doubtful*, until it has its outcome.
//! 3. *A doubtful batch never gets another number.* If it is in the log, the broker would not know it
//!    under the new number. It is tried again until it is resolved or its time is over: then its
//!    outcome is [`Written::Unknown`].
//! 4. *An epoch's first batch goes alone* until it is acknowledged, and so does the first after a
//!    minute without one. A broker that knows nothing of a producer takes any sequence: the second
//!    batch might be taken when the first one is not.
//!
//! From 4 follows that the broker appends without gaps, and from that two conclusions:
//! - *a batch that is acknowledged proves those before it*: a doubtful one that the broker refuses as out
//!   of sequence, because it forgot all but the last one when it restarted, is written (its
//!   offset is not known);
//! - *a batch that is not in the log and will not be sent again rules out those behind it*: they are not
//!   doubtful any more, whatever became of their attempts.
//!
//! When a batch fails, its sequence may be missing. The partition then starts no more batches of that
//! epoch. Those behind it that are ruled out go back to the queue, as do all when the first of them is
//! not in the log and refused as out of sequence; else they are tried on. Once the window is empty the partition goes on with the next epoch and
//! sequence 0, which also shuts out late copies of the old epoch. As in the Java client
//! (KIP-360), the epoch of a producer without a transactional id is raised without asking the broker;
//! as in neither it nor librdkafka, a doubtful batch is not renumbered.
//!
//! Each partition has its own epoch: brokers compare epochs only within a partition. One that was
//! [forgotten](Sequencer::forget) goes on in an epoch beyond its last.
//!
//! What a client cannot help: a broker that forgot the producer takes a second copy, and takes a
//! batch whose predecessor it does not have. Brokers forget
//! a producer whose last record is older, by its own timestamp, than their
//! `producer.id.expiration.ms` (a day), checking every ten minutes: those who replay old records meet
//! that while they produce. And replicas that lost
//! acknowledged records (unclean leader election) lost what they knew of the producer with them.

mod batch;
mod lane;
mod machine;
mod settle;
mod verdict;

pub use batch::{
    Attempt, AttemptId, BatchId, Ending, Finished, NewBatch, Outcome, Reason, Written,
};
pub use machine::{Limits, Route, Sequencer};
