//! Any order of answers, failures, moves and commands, against logs that are known.

mod backlog;
mod bounds;
mod cases;
mod lanes;
mod log;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::watch;

use super::delivery::Taken;
use super::lookups::Lookup;
use super::*;
use crate::client::{Leader, ListedOffset};
use crate::consumer::fetch::budget::Lease;
use crate::records::Record;
use crate::wire::{EpochEndOffset, FetchPartition};
use log::Log;

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 4;
const NODES: i32 = 2;
const LIMIT: usize = 1000;

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

fn settings() -> FetchSettings {
    FetchSettings {
        start: StartPosition::Earliest,
        max_poll_records: 3,
        partition_max_bytes: 200,
        max_buffered_bytes: LIMIT,
        ..FetchSettings::default()
    }
}

fn pauses() -> Pauses {
    Pauses::new(Duration::from_millis(100), Duration::from_secs(1))
}

fn plan(settings: FetchSettings) -> (Plan, Arc<Budget>) {
    let (work, _) = watch::channel(());
    let budget = Budget::new(settings.max_buffered_bytes, work);
    (Plan::new(settings, pauses(), Arc::clone(&budget)), budget)
}

fn topics(parts: Vec<FetchPartition>) -> Vec<FetchTopic> {
    vec![FetchTopic {
        topic: "orders".into(),
        partitions: parts,
    }]
}

const SECOND: Duration = Duration::from_secs(1);

/// A plan with some partitions on broker 0, which begin at 0.
fn fetching(settings: FetchSettings, partitions: i32) -> (Plan, Arc<Budget>) {
    let (mut plan, budget) = plan(settings);
    for partition in 0..partitions {
        let name = name(partition);
        plan.assign(&[name.clone()].into());
        plan.seek(&name, 0).unwrap();
    }
    plan.follow(|_| Some(Leader { node: 0, epoch: 1 }));
    (plan, budget)
}

fn log(batches: i32, records: i32) -> Log {
    let mut log = Log::at(0);
    for _ in 0..batches {
        log.append(records, 0);
    }
    log
}

fn ask(plan: &mut Plan) -> Ask {
    plan.ask(0, Lane::Main, Duration::ZERO).unwrap()
}

/// Asks and answers with whole batches.
fn bring(plan: &mut Plan, log: &Log, batches: usize) {
    let ask = ask(plan);
    let wants = ask.wants.iter();
    let parts = wants.map(|want| log.answer(want.partition.partition(), want.offset, batches, 0));
    let parts = parts.collect();
    let changes = plan.answered(ask, topics(parts), Duration::ZERO);
    assert!(changes.ready);
}

fn refused(code: i16) -> FetchPartition {
    FetchPartition {
        error_code: code,
        ..FetchPartition::default()
    }
}

/// Reads a page; the partition, the offsets, and where it goes on.
fn read(plan: &mut Plan) -> Result<Option<(TopicPartition, Vec<i64>, i64)>> {
    let Some(taken) = plan.take() else {
        return Ok(None);
    };
    let mut taken = taken?;
    let mut page = taken.chunk.read(plan.settings(), &mut None);
    let name = taken.partition.clone();
    let given_back = plan.give_back(taken, &mut page).unwrap();
    let offsets = page.records.iter().map(Record::offset);
    Ok(Some((
        name,
        offsets.collect(),
        given_back.position.offset.unwrap(),
    )))
}

fn drain(plan: &mut Plan) -> Vec<i64> {
    let pages = std::iter::from_fn(|| read(plan).unwrap());
    pages.flat_map(|(_, offsets, _)| offsets).collect()
}

/// A plan, what the brokers have, and what is to come of each partition.
struct World {
    plan: Plan,
    budget: Arc<Budget>,
    logs: Vec<Log>,
    now: Now,
    asks: Vec<Ask>,
    lookups: Vec<Lookup>,
    /// The next offset to be delivered, of assigned partitions that have a position.
    cursors: BTreeMap<TopicPartition, Option<i64>>,
    taken: Option<Taken>,
    /// What the caller still holds of the answers.
    kept: Vec<Arc<Lease>>,
    spare: Option<crate::records::Decompressor>,
    epochs: i32,
}

impl World {
    fn new(settings: FetchSettings, work: watch::Sender<()>) -> Self {
        let budget = Budget::new(settings.max_buffered_bytes, work);
        let plan = Plan::new(settings, pauses(), Arc::clone(&budget));
        let log = |partition| Log::at(partition % NODES);
        let mut world = Self {
            plan,
            budget,
            logs: (0..PARTITIONS).map(log).collect(),
            now: Duration::ZERO,
            asks: Vec::new(),
            lookups: Vec::new(),
            cursors: BTreeMap::new(),
            taken: None,
            kept: Vec::new(),
            spare: None,
            epochs: 0,
        };
        for partition in 0..PARTITIONS {
            world.assign(partition, Some(0));
        }
        world.follow();
        world
    }

    fn log(&self, name: &TopicPartition) -> &Log {
        &self.logs[usize::try_from(name.partition()).unwrap()]
    }

    fn leaders(&self) -> BTreeMap<TopicPartition, Leader> {
        let logs = (0..).map(name).zip(&self.logs);
        let leader = |log: &Log| Leader {
            node: log.node,
            epoch: log.epoch,
        };
        logs.map(|(name, log)| (name, leader(log))).collect()
    }

    fn follow(&mut self) {
        let leaders = self.leaders();
        self.plan.follow(|name| leaders.get(name).copied());
    }

    fn assign(&mut self, partition: i32, offset: Option<i64>) {
        let name = name(partition);
        self.plan.assign(&[name.clone()].into());
        let offset_of = |offset| Offset {
            offset,
            leader_epoch: None,
            metadata: "".into(),
        };
        self.plan.position(&name, offset.map(offset_of));
        self.cursors.entry(name).or_insert(offset);
    }

    fn remove(&mut self, name: &TopicPartition) {
        self.plan.remove(&[name.clone()].into());
        self.cursors.remove(name);
    }

    /// Gives a partition another leader, or the same in another epoch.
    fn lead(&mut self, partition: i32, node: i32) {
        self.epochs += 1;
        let log = &mut self.logs[usize::try_from(partition).unwrap()];
        (log.node, log.epoch) = (node, self.epochs);
    }

    /// Any step; what it does not apply to is left out.
    fn step(&mut self, kind: u8, a: u8, b: u8) {
        let partition = i32::from(a) % PARTITIONS;
        let name = name(partition);
        let log = &mut self.logs[usize::try_from(partition).unwrap()];
        match kind % 20 {
            0 | 1 => log.append(i32::from(b % 8), i32::from(b / 32 % 3)),
            2..=4 => self.ask(i32::from(a) % NODES, b),
            5..=7 if !self.asks.is_empty() => {
                let ask = self.asks.swap_remove(usize::from(a) % self.asks.len());
                let parts = self.parts(&ask, |index| b.wrapping_mul(31).wrapping_add(index));
                self.answered(ask, parts);
            }
            8 if !self.asks.is_empty() => {
                let ask = self.asks.swap_remove(usize::from(a) % self.asks.len());
                self.plan.failed(ask, None);
            }
            9 | 10 => self.take(),
            11 | 12 => {
                self.give_back(b.is_multiple_of(4));
            }
            13 => {
                let offset = i64::from(b) % (log.end + 2);
                if self.cursors.contains_key(&name) {
                    self.plan.seek(&name, offset).unwrap();
                    self.cursors.insert(name, Some(offset));
                } else {
                    self.plan.seek(&name, offset).unwrap_err();
                }
            }
            14 => self.plan.pause(&[name].into(), b.is_multiple_of(2)),
            15 if b.is_multiple_of(2) => self.remove(&name),
            15 if !self.cursors.contains_key(&name) => {
                let known = b % 4 == 1;
                let offset = i64::from(b / 4) % (log.end + 1);
                self.assign(partition, known.then_some(offset));
                self.follow();
            }
            16 => {
                self.lead(partition, i32::from(b) % NODES);
                if b.is_multiple_of(2) {
                    self.follow();
                }
            }
            17 if b.is_multiple_of(4) => log.start = (log.start + i64::from(b / 4)).min(log.end),
            17 => self.follow(),
            18 => self.look_up(b),
            19 => self.now += Duration::from_millis(u64::from(b) * 4),
            _ => {}
        }
    }

    fn ask(&mut self, node: i32, kind: u8) {
        let lane = if kind.is_multiple_of(2) {
            Lane::Main
        } else {
            Lane::Side
        };
        // One request per lane.
        let busy = |ask: &Ask| ask.node == node && ask.lane == lane;
        if self.asks.iter().any(busy) {
            return;
        }
        if let Ok(ask) = self.plan.ask(node, lane, self.now) {
            assert!(!ask.wants.is_empty());
            self.asks.push(ask);
        }
    }

    /// Why a leader refuses what is asked for; 0 if it does not.
    fn refusal(&self, ask: &Ask, want: &Want) -> i16 {
        let log = self.log(&want.partition);
        match log.epoch.cmp(&want.leader_epoch) {
            _ if log.node != ask.node => 6,
            Ordering::Less => 75,
            Ordering::Greater => 74,
            Ordering::Equal => 0,
        }
    }

    /// What the leader answers, or what chance has it answer.
    fn parts(&self, ask: &Ask, mut chance: impl FnMut(u8) -> u8) -> Vec<FetchPartition> {
        let mut parts = Vec::new();
        for (index, want) in ask.wants.iter().enumerate() {
            let chance = chance(u8::try_from(index).unwrap());
            let log = self.log(&want.partition);
            let partition = want.partition.partition();
            let mut part = log.answer(
                partition,
                want.offset,
                usize::from(chance % 4),
                usize::from(chance),
            );
            let code = match chance / 4 % 16 {
                0 => 3,
                1 => 56,
                2 => 78,
                3 => continue,
                _ => self.refusal(ask, want).max(part.error_code),
            };
            if code != 0 {
                part = FetchPartition {
                    partition_index: partition,
                    high_watermark: -1,
                    ..refused(code)
                };
            } else if chance / 4 % 16 == 15 {
                // It was cut there, and the same came again.
                part.diverging_epoch = Some(EpochEndOffset {
                    epoch: log.epoch,
                    end_offset: log.start.max(want.offset - i64::from(chance % 4)),
                });
            }
            parts.push(part);
        }
        parts
    }

    fn answered(&mut self, ask: Ask, parts: Vec<FetchPartition>) -> Changes {
        let before = self.plan.positions();
        let changes = self.plan.answered(ask, topics(parts), self.now);
        for (name, position) in self.plan.positions() {
            let Some(cursor) = before[&name].offset else {
                continue;
            };
            // Out of range: it begins anew. Cut behind it: it goes back.
            if position.offset.is_none() {
                let log = self.log(&name);
                assert!(
                    cursor < log.start || cursor > log.end,
                    "{name} was reset at {cursor}"
                );
                self.cursors.insert(name, None);
            } else if position.offset < Some(cursor) {
                self.cursors.insert(name, position.offset);
            }
        }
        changes
    }

    fn look_up(&mut self, chance: u8) {
        self.lookups.extend(self.plan.lookups(self.now).0);
        if chance.is_multiple_of(2) || self.lookups.is_empty() {
            return;
        }
        let lookup = self
            .lookups
            .remove(usize::from(chance) % self.lookups.len());
        self.looked_up(&lookup, chance.is_multiple_of(3));
    }

    fn looked_up(&mut self, lookup: &Lookup, fails: bool) {
        let mut offsets = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (name, start) in &lookup.wanted {
            let log = self.log(name);
            let offset = match start {
                StartPosition::Earliest => log.start,
                _ => log.end,
            };
            let listed = ListedOffset {
                offset,
                leader_epoch: None,
                timestamp: None,
            };
            let is_found = match fails {
                true => Err(Error::temporary("no leader")),
                false => Ok(Some(listed)),
            };
            offsets.insert(name.clone(), offset);
            found.insert(name.clone(), is_found);
        }
        let before = self.plan.positions();
        self.plan.looked_up(lookup, found, self.now);
        for (name, position) in self.plan.positions() {
            if before[&name].offset.is_none() && position.offset.is_some() {
                assert_eq!(position.offset, offsets.get(&name).copied());
                self.cursors.insert(name, position.offset);
            }
        }
    }

    fn take(&mut self) {
        if self.taken.is_none()
            && let Some(taken) = self.plan.take()
        {
            self.taken = Some(taken.unwrap());
        }
    }

    /// Whether lanes are to be woken.
    fn give_back(&mut self, keep: bool) -> bool {
        let Some(mut taken) = self.taken.take() else {
            return false;
        };
        let mut page = taken.chunk.read(self.plan.settings(), &mut self.spare);
        assert!(page.records.len() <= 3);
        assert!(page.error.is_none(), "{page:?}");
        let name = taken.partition.clone();
        let lease = Arc::clone(&taken.chunk.lease);
        let given_back = self.plan.give_back(taken, &mut page);
        if keep {
            self.kept.push(lease);
        } else {
            self.kept.clear();
        }
        let Some(given_back) = given_back else {
            return false;
        };
        let cursor = self.cursors[&name].unwrap();
        let next = given_back.position.offset.unwrap();
        let delivered: Vec<_> = page.records.iter().map(Record::offset).collect();
        assert_eq!(
            delivered,
            self.log(&name).records(cursor, next),
            "{name} from {cursor}"
        );
        for record in &page.records {
            assert_eq!(record.value(), Some(&record.offset().to_be_bytes()[..]));
        }
        self.cursors.insert(name, Some(next));
        given_back.wakes
    }

    /// Lets everybody answer as they should: all records come, and all bytes are given back.
    fn calm(&mut self) {
        self.kept.clear();
        let names: BTreeSet<_> = (0..PARTITIONS).map(name).collect();
        self.plan.pause(&names, false);
        self.follow();
        for _ in 0..200 {
            self.now += Duration::from_secs(2);
            for node in 0..NODES {
                self.ask(node, 0);
                self.ask(node, 1);
            }
            for ask in std::mem::take(&mut self.asks) {
                let parts = self.parts(&ask, |_| 4 * 4 + 3);
                self.answered(ask, parts);
            }
            for _ in 0..4 {
                self.look_up(1);
            }
            for _ in 0..100 {
                self.take();
                self.give_back(false);
            }
        }
        for (name, cursor) in &self.cursors {
            let log = self.log(name);
            assert_eq!(*cursor, Some(log.end), "{name}: {log:?}");
        }
        self.asks.clear();
        assert_eq!(self.budget.left(), LIMIT, "all bytes are given back");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_skipped_repeated_or_out_of_order(
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 0..300)
    ) {
        let mut world = World::new(settings(), watch::Sender::new(()));
        for (kind, a, b) in steps {
            world.step(kind, a, b);
        }
        world.calm();
    }
}
