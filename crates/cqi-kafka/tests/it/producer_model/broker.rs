//! The brokers of one partition, as far as idempotence goes: `ProducerStateManager`, a log that is
//! replicated in steps, a leader that moves.

use std::collections::HashMap;

use cqi_kafka::producer::sequencer::{AttemptId, BatchId};
use cqi_kafka::records::Producer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) producer: Producer,
    pub(super) records: i32,
    pub(super) batch: BatchId,
}

/// What a broker remembers of a producer: an epoch, and where the last batches are in the log.
#[derive(Clone, Debug)]
struct Memory {
    epoch: i16,
    batches: Vec<usize>,
}

/// The log and the memory of one replica.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    pub(super) log: Vec<Entry>,
    memory: HashMap<i64, Memory>,
}

pub(super) enum Appended {
    /// Here, now or before; it is acknowledged once that is replicated.
    At(usize),
    Refused(i16),
}

const OUT_OF_ORDER: i16 = 45;
const INVALID_EPOCH: i16 = 47;
const REMEMBERED: usize = 5;

fn follows(last: &Entry, sequence: i32) -> bool {
    let next = i64::from(last.producer.base_sequence) + i64::from(last.records);
    next % (1 << 31) == i64::from(sequence)
}

impl Replica {
    fn append(&mut self, entry: Entry) -> Appended {
        let Producer {
            id,
            epoch,
            base_sequence,
        } = entry.producer;
        if let Some(memory) = self.memory.get(&id) {
            if epoch == memory.epoch {
                let same = |at: &&usize| {
                    let known = self.log[**at];
                    (known.producer.base_sequence, known.records) == (base_sequence, entry.records)
                };
                if let Some(at) = memory.batches.iter().find(same) {
                    return Appended::At(*at);
                }
            }
            let last = memory.batches.last().map(|at| self.log[*at]);
            if epoch < memory.epoch {
                return Appended::Refused(INVALID_EPOCH);
            } else if epoch > memory.epoch && base_sequence != 0
                || epoch == memory.epoch && !last.is_some_and(|last| follows(&last, base_sequence))
            {
                return Appended::Refused(OUT_OF_ORDER);
            }
        }
        self.log.push(entry);
        self.remember(self.log.len() - 1);
        Appended::At(self.log.len() - 1)
    }

    fn remember(&mut self, at: usize) {
        let Producer { id, epoch, .. } = self.log[at].producer;
        let empty = Memory {
            epoch,
            batches: Vec::new(),
        };
        let memory = self.memory.entry(id).or_insert_with(|| empty.clone());
        if memory.epoch != epoch {
            *memory = empty;
        }
        memory.batches.push(at);
        if memory.batches.len() > REMEMBERED {
            memory.batches.remove(0);
        }
    }

    /// Keeps the beginning of the log, and what can be learnt from it.
    fn truncate(&mut self, len: usize, from: usize) {
        self.log.truncate(len);
        self.restart(from);
    }

    /// A restart reads a snapshot, which has only the last batch of each producer, and the log
    /// behind that.
    fn restart(&mut self, from: usize) {
        self.memory.clear();
        for at in 0..self.log.len() {
            self.remember(at);
            if at + 1 == from {
                for memory in self.memory.values_mut() {
                    memory.batches = memory.batches.pop().into_iter().collect();
                }
            }
        }
    }
}

/// A batch on its way to a broker, or past it.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) attempt: AttemptId,
    pub(super) node: i32,
    pub(super) entry: Entry,
}

#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) leader: i32,
    pub(super) replica: Replica,
    /// So much of the log is replicated.
    pub(super) committed: usize,
    /// A former leader that has not heard of it.
    former: Option<(i32, Replica, usize)>,
    /// What waits for replication.
    waiting: Vec<(AttemptId, usize)>,
    /// Of attempts: code and offset.
    pub(super) answers: Vec<(AttemptId, i16, i64)>,
}

impl Partition {
    pub(super) fn new() -> Self {
        Self {
            leader: 0,
            replica: Replica::default(),
            committed: 0,
            former: None,
            waiting: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub(super) fn receive(&mut self, copy: &Copy) {
        let attempt = copy.attempt;
        if copy.node == self.leader {
            match self.replica.append(copy.entry) {
                Appended::At(at) if at < self.committed => {
                    self.answers.push((attempt, 0, at as i64));
                }
                Appended::At(at) => self.waiting.push((attempt, at)),
                Appended::Refused(code) => self.answers.push((attempt, code, -1)),
            }
            return;
        }
        let answer = match &mut self.former {
            Some((node, replica, committed)) if *node == copy.node => {
                match replica.append(copy.entry) {
                    Appended::At(at) if at < *committed => (0, at as i64),
                    // It finds out that nobody follows it.
                    Appended::At(_) => (7, -1),
                    Appended::Refused(code) => (code, -1),
                }
            }
            _ => (6, -1),
        };
        self.answers.push((attempt, answer.0, answer.1));
    }

    pub(super) fn replicate(&mut self) {
        self.committed = self.replica.log.len();
        for (attempt, at) in self.waiting.drain(..) {
            self.answers.push((attempt, 0, at as i64));
        }
    }

    /// Answers what waits, with a code that does not say whether it is appended.
    pub(super) fn despair(&mut self, code: i16) {
        let waiting = self.waiting.drain(..);
        let answers = waiting.map(|(attempt, _)| (attempt, code, -1));
        self.answers.extend(answers);
    }

    /// Another replica leads; it has what is committed, and perhaps some more. Its memory is that
    /// of a snapshot some batches before the end of the log, and of what came since.
    pub(super) fn move_to(&mut self, node: i32, more: usize, since: usize) {
        if node == self.leader {
            return;
        }
        self.despair(6);
        let len = self.replica.log.len().min(self.committed + more);
        let before = self.replica.clone();
        self.former = Some((self.leader, before, self.committed));
        self.replica.truncate(len, len.saturating_sub(since));
        self.leader = node;
    }

    pub(super) fn restart(&mut self, since: usize) {
        let len = self.replica.log.len();
        self.replica.restart(len.saturating_sub(since));
    }

    /// The producer's last record is older than the broker remembers.
    pub(super) fn forget(&mut self) {
        self.replica.memory.clear();
        self.former = None;
    }
}
