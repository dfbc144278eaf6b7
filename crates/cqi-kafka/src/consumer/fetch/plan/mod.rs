//! What to fetch where, and what to deliver next: pure, without I/O and without a clock.

mod ask;
mod delivery;
mod lookups;
mod partitions;
mod reserve;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cqi_errors::{Error, Kind, Result};

use super::budget::{Budget, Share};
use super::{FetchSettings, Position, StartPosition};
use crate::TopicPartition;
use crate::client::{Leader, Pauses};
use crate::membership::Offset;
use crate::wire::FetchTopic;
pub(super) use ask::{Ask, Want};
use partitions::Partitions;
use slot::{Outcome, Progress, Slot};

/// The time since any fixed moment.
pub(super) type Now = Duration;

/// All partitions: their positions, what is fetched of them, and what is under way.
#[derive(Debug)]
pub(super) struct Plan {
    settings: FetchSettings,
    pauses: Pauses,
    partitions: Partitions,
    /// Those with something to deliver, in turn.
    ready: VecDeque<TopicPartition>,
    /// Brokers that lead a partition, with what their answers hold.
    nodes: BTreeMap<i32, Node>,
    budget: Arc<Budget>,
    /// Counts requests and readings, so that one that is out of date is told from the current.
    ids: u64,
    /// What concerns a whole broker, to be told.
    trouble: Option<Error>,
}

#[derive(Debug, Default)]
struct Node {
    share: Arc<Share>,
    /// Whether the long poll is under way, so that what is new goes beside it.
    polled: bool,
}

/// Which of a broker's two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Waits for records of all partitions. Where more are behind than an answer holds, it fetches half
    /// of them.
    Main,
    /// Fetches what became due while the main one waits, and the other half.
    Side,
}

/// What an answer changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changes {
    /// There is something to deliver.
    pub(super) ready: bool,
    /// A leader moved.
    pub(super) moved: bool,
    /// Offsets are to be looked up.
    pub(super) lookups: bool,
    /// A part of it counts no more: it was sought, given up, or taken over meanwhile.
    pub(super) void: bool,
}

impl Plan {
    pub(super) fn new(settings: FetchSettings, pauses: Pauses, budget: Arc<Budget>) -> Self {
        Self {
            settings,
            pauses,
            partitions: Partitions::default(),
            ready: VecDeque::new(),
            nodes: BTreeMap::new(),
            budget,
            ids: 0,
            trouble: None,
        }
    }

    #[cfg(test)]
    pub(super) const fn settings(&self) -> &FetchSettings {
        &self.settings
    }

    #[cfg(test)]
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn assign(&mut self, partitions: &BTreeSet<TopicPartition>) {
        for partition in partitions {
            self.partitions
                .insert_new(partition, || Slot::new(self.pauses.clone()));
        }
    }

    pub(super) fn remove(&mut self, partitions: &BTreeSet<TopicPartition>) {
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.ready.retain(|ready| !partitions.contains(ready));
    }

    pub(super) fn topics(&self) -> BTreeSet<Arc<str>> {
        self.partitions.topics().cloned().collect()
    }

    /// Sets the position of a partition that has none.
    pub(super) fn position(&mut self, partition: &TopicPartition, offset: Option<Offset>) {
        let start = self.settings.start;
        let Some(slot) = self.partitions.get_mut(partition) else {
            return;
        };
        if slot.progress != Progress::Waiting {
            return;
        }
        match offset {
            Some(offset) => slot.begin_at(offset.offset, offset.leader_epoch),
            None => slot.begin_by(start, || {
                let text = format!(
                    "{partition} has no committed offset, and `start` says to fail then; seek to \
                     where it is to begin"
                );
                Error::new(Kind::NotFound, text)
            }),
        }
        self.enqueue(partition);
    }

    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        if offset < 0 {
            let problem = format!("is {offset} for {partition}; 0 and more are allowed");
            return Err(Error::invalid_input("offset", problem));
        }
        self.assigned(partition)?.begin_at(offset, None);
        Ok(())
    }

    pub(super) fn seek_to(&mut self, partition: &TopicPartition, to: StartPosition) -> Result<()> {
        if to == StartPosition::Fail {
            let problem = format!("is no place in {partition}; name one, or an offset");
            return Err(Error::invalid_input("position", problem));
        }
        self.assigned(partition)?
            .begin_by(to, || Error::permanent("unreachable"));
        Ok(())
    }

    fn assigned(&mut self, partition: &TopicPartition) -> Result<&mut Slot> {
        self.partitions.get_mut(partition).ok_or_else(|| {
            let problem = format!("{partition} is not assigned to this consumer");
            Error::invalid_input("partition", problem)
        })
    }

    pub(super) fn pause(&mut self, partitions: &BTreeSet<TopicPartition>, paused: bool) {
        for partition in partitions {
            let Some(slot) = self.partitions.get_mut(partition) else {
                continue;
            };
            slot.paused = paused;
            let position = slot.position;
            if let Some(chunk) = slot.chunks.front_mut()
                && paused
                && slot.taken.is_none()
            {
                chunk.rest(position);
            }
            self.enqueue(partition);
        }
    }

    pub(super) fn positions(&self) -> BTreeMap<TopicPartition, Position> {
        self.partitions
            .iter()
            .map(|(name, slot)| (name, slot.position(self.settings.isolation)))
            .collect()
    }

    /// Learns who leads, and returns the brokers that lead something.
    ///
    /// A broker that is not among them has no request under way any more.
    pub(super) fn follow(
        &mut self,
        leader: impl Fn(&TopicPartition) -> Option<Leader>,
    ) -> BTreeSet<i32> {
        let mut leading = BTreeSet::new();
        for (name, slot) in self.partitions.iter_mut() {
            slot.follow(leader(&name));
            leading.extend(slot.leader.map(|leader| leader.node));
        }
        self.nodes.retain(|node, _| leading.contains(node));
        for node in &leading {
            self.nodes.entry(*node).or_default();
        }
        leading
    }

    fn set_polled(&mut self, node: i32, lane: Lane, polled: bool) {
        if let (Some(node), Lane::Main) = (self.nodes.get_mut(&node), lane) {
            node.polled = polled;
        }
    }

    /// Takes the answer to a request.
    pub(super) fn answered(&mut self, ask: Ask, topics: Vec<FetchTopic>, now: Now) -> Changes {
        let mut lease = ask.lease;
        lease.resize(size(&topics));
        let lease = Arc::new(lease);
        let is_void = |want: &Want| {
            let slot = self.partitions.get(&want.partition);
            slot.is_none_or(|slot| slot.asked != Some(ask.id))
        };
        let mut changes = Changes {
            void: ask.wants.iter().any(is_void),
            ..Changes::default()
        };
        let mut brought = Vec::new();
        for topic in topics {
            for part in topic.partitions {
                let found = self.partitions.find_mut(&topic.topic, part.partition_index);
                // What was given up or sought meanwhile is void, as is what nobody asked for.
                let Some((name, slot)) = found.filter(|(_, slot)| slot.asked == Some(ask.id))
                else {
                    continue;
                };
                match slot.answered(&name, part, &self.settings, &lease, now) {
                    Outcome::Nothing => {}
                    Outcome::Moved => changes.moved = true,
                    Outcome::Reset => changes.lookups = true,
                    Outcome::Brought => brought.push(name),
                }
            }
        }
        changes.ready = !brought.is_empty();
        if brought.is_empty() {
            // Whoever is passed over keeps its turn, but not where all have nothing, whatever their
            // leader says that there is.
            for want in &ask.wants {
                let served = self.id();
                if let Some(slot) = self.partitions.get_mut(&want.partition) {
                    slot.served = served;
                }
            }
        }
        for partition in brought {
            let served = self.id();
            if let Some(slot) = self.partitions.get_mut(&partition) {
                slot.served = served;
            }
            self.enqueue(&partition);
        }
        self.end(ask.id, ask.node, ask.lane, &ask.wants);
        changes
    }

    /// Learns that a request got no answer, and why, if the caller should know.
    pub(super) fn failed(&mut self, ask: Ask, trouble: Option<Error>) {
        let Ask {
            id,
            node,
            lane,
            wants,
            lease,
            ..
        } = ask;
        drop(lease);
        self.end(id, node, lane, &wants);
        self.trouble = trouble.or(self.trouble.take());
    }

    /// Whether others are to be woken when a request has ended: the main lane, as what the side lane had
    /// is its again, or those that were refused bytes.
    ///
    /// The main lane wakes as well when something of the broker is read to its end: until then there is
    /// no hurry, and one large request is better than several small ones.
    pub(super) fn wakes(&self, node: i32, lane: Lane) -> bool {
        let is_read = || {
            self.partitions.iter().all(|(_, slot)| {
                let is_its = slot.leader.is_some_and(|leader| leader.node == node);
                !is_its || slot.paused || slot.depth() == 0
            })
        };
        self.budget.is_wanted() || (lane == Lane::Side && is_read())
    }

    fn end(&mut self, id: u64, node: i32, lane: Lane, wants: &[Want]) {
        self.set_polled(node, lane, false);
        for want in wants {
            if let Some(slot) = self.partitions.get_mut(&want.partition) {
                slot.asked.take_if(|asked| *asked == id);
            }
        }
    }
}

/// Returns the bytes of the records in an answer.
pub(super) fn size(topics: &[FetchTopic]) -> usize {
    let parts = topics.iter().flat_map(|topic| &topic.partitions);
    let records = parts.filter_map(|part| part.records.as_ref());
    records.map(Bytes::len).sum()
}
