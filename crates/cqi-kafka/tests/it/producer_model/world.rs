use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cqi_kafka::TopicPartition;
use cqi_kafka::producer::sequencer::{
    Attempt, AttemptId, BatchId, Ending, Limits, NewBatch, Outcome, Reason, Route, Sequencer,
    Written,
};

use super::broker::{Copy, Entry, Partition};

/// To each broker.
const CONNECTIONS: usize = 2;

/// What may happen; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Push(u8, u8),
    Send,
    Advance(u16),
    /// A copy arrives.
    Arrive(u8),
    /// A copy is lost on its way.
    Drop(u8),
    /// A broker refuses a copy; the flag is whether it appends first, where the code allows that.
    Refuse(u8, i16, bool),
    Answer(u8),
    /// The connection of an attempt breaks; its copy and its answer may still be on their way.
    Break(u8),
    /// An attempt did not leave.
    Unsent(u8),
    Replicate(u8),
    Despair(u8, i16),
    Move(u8, u8, u8, u8),
    Restart(u8, u8),
    Learn(u8),
    Identify,
    Unidentified,
    /// A broker forgets an idle producer.
    Forget(u8),
    /// The producer lets go of partitions that it does not write to.
    Idle(u8),
    Close,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) partitions: u8,
    pub(super) max_in_flight: usize,
    pub(super) first_epoch: i16,
}

struct Sent {
    partition: usize,
    records: i32,
    deadline: Duration,
    outcome: Option<Outcome>,
}

pub(super) struct World {
    plan: Plan,
    now: Duration,
    sequencer: Sequencer,
    names: Vec<TopicPartition>,
    partitions: Vec<Partition>,
    copies: Vec<Copy>,
    outstanding: BTreeMap<AttemptId, Attempt>,
    batches: Vec<Sent>,
    numbers: HashMap<(usize, i64, i16, i32), BatchId>,
    ids: i64,
    closed: bool,
    /// Logs or outcomes changed.
    changed: bool,
    pub(super) broken: Option<String>,
}

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);
/// The appended-or-not codes, all retriable or not.
pub(super) const DOUBTFUL: [i16; 9] = [3, 5, 6, 7, 20, 56, 13, -1, 999];
/// The not-appended codes.
pub(super) const CERTAIN: [i16; 12] = [2, 10, 17, 18, 19, 29, 31, 43, 45, 47, 59, 87];

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let limits = Limits {
            max_in_flight: plan.max_in_flight,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_millis(1000),
            connections: CONNECTIONS,
        };
        let count = usize::from(plan.partitions);
        Self {
            plan,
            now: Duration::ZERO,
            sequencer: Sequencer::new(limits, 1),
            names: (0..count)
                .map(|n| TopicPartition::new(format!("t{n}"), 0))
                .collect(),
            partitions: vec![Partition::new(); count],
            copies: Vec::new(),
            outstanding: BTreeMap::new(),
            batches: Vec::new(),
            numbers: HashMap::new(),
            ids: 0,
            closed: false,
            changed: false,
            broken: None,
        }
    }

    fn partition(&self, n: u8) -> usize {
        usize::from(n) % self.partitions.len()
    }

    fn copy(&mut self, n: u8) -> Option<Copy> {
        let len = self.copies.len();
        (len > 0).then(|| self.copies.remove(usize::from(n) % len))
    }

    pub(super) fn apply(&mut self, step: Step) {
        self.changed |= matches!(
            step,
            Step::Arrive(_) | Step::Refuse(..) | Step::Replicate(_) | Step::Move(..)
        );
        match step {
            Step::Push(partition, records) => self.push(self.partition(partition), records),
            Step::Send => self.send(),
            Step::Advance(millis) => {
                self.now += Duration::from_millis(millis.into());
                self.sequencer.tick(self.now);
            }
            Step::Arrive(n) => {
                if let Some(copy) = self.copy(n) {
                    let at = self.of(copy.entry.batch);
                    self.partitions[at].receive(&copy);
                }
            }
            Step::Drop(n) => drop(self.copy(n)),
            Step::Refuse(n, code, append) => {
                if let Some(copy) = self.copy(n) {
                    self.refuse(&copy, code, append);
                }
            }
            Step::Answer(n) => self.answer(n),
            Step::Break(n) => {
                if let Some(attempt) = self.attempt(n) {
                    self.end(attempt, Ending::Lost);
                }
            }
            Step::Unsent(n) => {
                if let Some(attempt) = self.attempt(n)
                    && let Some(at) = self.copies.iter().position(|c| c.attempt == attempt)
                {
                    self.copies.remove(at);
                    self.end(attempt, Ending::Unsent);
                }
            }
            Step::Replicate(n) => {
                let at = self.partition(n);
                self.partitions[at].replicate();
            }
            Step::Despair(n, code) => {
                let at = self.partition(n);
                self.partitions[at].despair(code);
            }
            Step::Move(n, node, more, since) => {
                let at = self.partition(n);
                let (node, more, since) = (i32::from(node % 3), more.into(), since.into());
                self.partitions[at].move_to(node, more, since);
            }
            Step::Restart(n, since) => {
                let at = self.partition(n);
                self.partitions[at].restart(since.into());
            }
            Step::Learn(n) => {
                let at = self.partition(n);
                let leader = self.partitions[at].leader;
                self.sequencer.lead(&self.names[at], Some(leader));
            }
            Step::Identify if self.sequencer.wants_identity() => {
                self.ids += 1;
                self.sequencer.identify(self.ids, self.plan.first_epoch);
            }
            Step::Unidentified if self.sequencer.wants_identity() => self.sequencer.unidentified(),
            Step::Forget(n) => self.forget(self.partition(n)),
            Step::Idle(n) => {
                let topic = self.names[self.partition(n)].topic().to_string();
                self.sequencer.forget(|other| other == topic);
            }
            Step::Close => {
                self.closed = true;
                self.sequencer.close();
            }
            Step::Identify | Step::Unidentified => {}
        }
        self.look();
    }

    fn push(&mut self, partition: usize, records: u8) {
        if self.closed {
            return;
        }
        let deadline = self.now + DELIVERY_TIMEOUT;
        let batch = NewBatch {
            id: BatchId(self.batches.len() as u64),
            records: i32::from(records) + 1,
            bytes: 100,
            deadline,
        };
        self.batches.push(Sent {
            partition,
            records: batch.records,
            deadline,
            outcome: None,
        });
        self.sequencer.push(&self.names[partition], batch);
    }

    fn send(&mut self) {
        let routes = (0..3 * CONNECTIONS).map(|n| Route {
            node: (n / CONNECTIONS) as i32,
            connection: n % CONNECTIONS,
        });
        for route in routes {
            loop {
                let attempts = self.sequencer.drain(self.now, route, 150);
                if attempts.is_empty() {
                    break;
                }
                if attempts.len() > 1 {
                    self.breaks("two batches of 100 bytes in 150".into());
                }
                for attempt in attempts {
                    self.sent(route.node, attempt);
                }
            }
        }
    }

    fn sent(&mut self, node: i32, attempt: Attempt) {
        let partition = self.of(attempt.batch);
        let producer = attempt.producer;
        let number = (
            partition,
            producer.id,
            producer.epoch,
            producer.base_sequence,
        );
        let batch = *self.numbers.entry(number).or_insert(attempt.batch);
        if batch != attempt.batch {
            self.breaks(format!("{batch:?} and {attempt:?} have one number"));
        }
        let mut flying = self.outstanding.values();
        if flying.any(|other| other.batch == attempt.batch) {
            self.breaks(format!("{attempt:?} while its answer is outstanding"));
        }
        self.copies.push(Copy {
            attempt: attempt.id,
            node,
            entry: Entry {
                producer,
                records: self.batches[attempt.batch.0 as usize].records,
                batch: attempt.batch,
            },
        });
        self.outstanding.insert(attempt.id, attempt);
        let of_partition = |other: &&Attempt| {
            let batch = &self.batches[other.batch.0 as usize];
            batch.partition == partition && batch.outcome.is_none()
        };
        let in_flight = self.outstanding.values().filter(of_partition).count();
        if in_flight > self.plan.max_in_flight.min(5) {
            self.breaks(format!("{in_flight} in flight"));
        }
    }

    fn refuse(&mut self, copy: &Copy, code: i16, append: bool) {
        let at = self.of(copy.entry.batch);
        let partition = &mut self.partitions[at];
        if append && DOUBTFUL.contains(&code) {
            let before = partition.answers.len();
            partition.receive(copy);
            partition.despair(code);
            partition.answers.truncate(before);
        }
        partition.answers.push((copy.attempt, code, -1));
    }

    fn answer(&mut self, n: u8) {
        let count: usize = self.partitions.iter().map(|p| p.answers.len()).sum();
        let Some(mut at) = usize::from(n).checked_rem(count) else {
            return;
        };
        for partition in &mut self.partitions {
            if at < partition.answers.len() {
                let (attempt, code, base_offset) = partition.answers.remove(at);
                let ending = Ending::Answered {
                    code,
                    base_offset,
                    log_append_time: -1,
                };
                self.end(attempt, ending);
                return;
            }
            at -= partition.answers.len();
        }
    }

    fn attempt(&self, n: u8) -> Option<AttemptId> {
        let at = usize::from(n).checked_rem(self.outstanding.len())?;
        self.outstanding.keys().nth(at).copied()
    }

    /// What was said of an attempt that broke is not heard.
    fn end(&mut self, attempt: AttemptId, ending: Ending) {
        if let Some(attempt) = self.outstanding.remove(&attempt) {
            self.sequencer.end(self.now, &attempt, ending);
        }
    }

    /// Brokers forget a producer long after the last batch, and all its copies, arrived.
    fn forget(&mut self, at: usize) {
        let unresolved = self.batches.iter().any(|batch| {
            batch.partition == at && !matches!(batch.outcome, Some(Outcome::Delivered { .. }))
        });
        let here = |copy: &Copy| self.of(copy.entry.batch) == at;
        if unresolved || self.copies.iter().any(here) {
            return;
        }
        self.now += Duration::from_secs(24 * 3600);
        self.partitions[at].forget();
    }

    fn of(&self, batch: BatchId) -> usize {
        self.batches[batch.0 as usize].partition
    }

    fn breaks(&mut self, text: String) {
        self.broken.get_or_insert(text);
    }

    /// Takes the outcomes, and checks the promises.
    fn look(&mut self) {
        for finished in self.sequencer.finished() {
            self.changed = true;
            let id = finished.batch;
            let batch = &mut self.batches[id.0 as usize];
            if let Some(before) = batch.outcome.replace(finished.outcome) {
                self.breaks(format!("{id:?} ended twice: {before:?}, {finished:?}"));
                return;
            }
            let deadline = batch.deadline;
            let expired = matches!(
                finished.outcome,
                Outcome::Failed {
                    reason: Reason::Expired(_),
                    ..
                }
            );
            if expired && self.now < deadline {
                self.breaks(format!("{id:?} expired early"));
            }
        }
        if !std::mem::take(&mut self.changed) {
            return;
        }
        for at in 0..self.partitions.len() {
            if let Err(text) = self.look_at(at) {
                self.breaks(text);
            }
        }
    }

    fn look_at(&self, at: usize) -> Result<(), String> {
        let partition = &self.partitions[at];
        let log = &partition.replica.log;
        let mut last: Option<Entry> = None;
        let mut places = vec![None; self.batches.len()];
        for (offset, entry) in log.iter().enumerate() {
            if places[entry.batch.0 as usize].replace(offset).is_some() {
                return Err(format!("{:?} is there twice: {log:?}", entry.batch));
            }
            // Another producer id shuts out no late copies of the one before.
            if let Some(last) = last.filter(|last| last.producer.id == entry.producer.id)
                && last.batch > entry.batch
            {
                return Err(format!("{last:?} is before {entry:?}"));
            }
            last = Some(*entry);
        }
        let mut delivered = None;
        for (n, batch) in self.batches.iter().enumerate() {
            if batch.partition != at {
                continue;
            }
            let place = places[n];
            match batch.outcome {
                Some(Outcome::Delivered { offset, .. }) => {
                    let Some(place) = place.filter(|place| *place < partition.committed) else {
                        return Err(format!("batch {n} is acknowledged and not committed"));
                    };
                    if offset.is_some_and(|offset| offset != place as i64) {
                        return Err(format!("batch {n} is at {place}, not {offset:?}"));
                    }
                    if delivered > Some(place) {
                        return Err(format!("batch {n} is before an earlier one"));
                    }
                    delivered = Some(place);
                }
                Some(Outcome::Failed {
                    written: Written::No,
                    ..
                }) if place.is_some() => {
                    return Err(format!("batch {n} is said not to be written, and is"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// From here on all goes well: everything must end, soon.
    pub(super) fn calm(&mut self) -> Result<(), String> {
        let from = self.now;
        let open: Vec<_> = self.batches.iter().map(|b| b.outcome.is_none()).collect();
        for n in 0..5000 {
            self.apply(Step::Identify);
            for partition in 0..self.plan.partitions {
                self.apply(Step::Learn(partition));
            }
            self.apply(Step::Send);
            if !self.copies.is_empty() {
                self.apply(Step::Arrive(0));
            }
            for partition in 0..self.plan.partitions {
                self.apply(Step::Replicate(partition));
            }
            self.apply(Step::Answer(0));
            self.apply(Step::Send);
            let quiet = self.copies.is_empty()
                && !self.sequencer.wants_identity()
                && self.partitions.iter().all(|p| p.answers.is_empty());
            if quiet {
                // Those whose copies or answers were lost.
                while !self.outstanding.is_empty() {
                    self.apply(Step::Break(0));
                }
                self.apply(Step::Send);
                // A producer id is not waited for.
                if self.copies.is_empty()
                    && !self.sequencer.wants_identity()
                    && let Some(at) = self.sequencer.deadline(self.now)
                {
                    let wait = at.saturating_sub(self.now).as_millis() + 1;
                    self.apply(Step::Advance(wait as u16));
                }
            }
            if let Some(text) = self.broken.take() {
                return Err(text);
            }
            let done = self.batches.iter().all(|batch| batch.outcome.is_some());
            if done && quiet && self.copies.is_empty() {
                let took = self.now - from;
                return match took < Duration::from_secs(60) {
                    true => self.needless(from, &open),
                    false => Err(format!("it took {took:?} after {n} steps")),
                };
            }
        }
        let open = self.batches.iter().position(|b| b.outcome.is_none());
        Err(format!("batch {open:?} never ends: {:?}", self.sequencer))
    }

    /// Batches that had time left when calm came are delivered, where none was given up before.
    fn needless(&self, from: Duration, open: &[bool]) -> Result<(), String> {
        let mut needless = vec![None; self.partitions.len()];
        let mut excused = vec![false; self.partitions.len()];
        for (n, batch) in self.batches.iter().enumerate() {
            if let Some(Outcome::Failed { reason, .. }) = batch.outcome {
                let expired = matches!(reason, Reason::Expired(_)) && open[n];
                if expired && batch.deadline > from + Duration::from_secs(5) {
                    needless[batch.partition] = Some(n);
                } else {
                    excused[batch.partition] = true;
                }
            }
        }
        let mut needless = needless.iter().zip(excused);
        match needless.find(|(n, excused)| n.is_some() && !excused) {
            Some((n, _)) => Err(format!("batch {n:?} expired needlessly")),
            None => Ok(()),
        }
    }

    /// Counts the batches by their ends.
    pub(super) fn tally(&self, counts: &mut BTreeMap<&'static str, usize>) {
        for batch in &self.batches {
            let what = match batch.outcome {
                Some(Outcome::Delivered {
                    offset: Some(_), ..
                }) => "delivered",
                Some(Outcome::Delivered { .. }) => "delivered, by proof",
                Some(Outcome::Failed { written, .. }) => match written {
                    Written::No => "not written",
                    Written::Unknown => "unknown",
                },
                _ => "open",
            };
            *counts.entry(what).or_default() += 1;
        }
    }
}
