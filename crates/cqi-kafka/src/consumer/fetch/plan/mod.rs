//! What to fetch where, and what to deliver next: pure, without I/O and without a clock.

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

use super::budget::{Budget, Lease, Share};
use super::{FetchSettings, Position, StartPosition};
use crate::TopicPartition;
use crate::client::{Leader, Pauses};
use crate::membership::Offset;
use crate::wire::FetchTopic;
use partitions::Partitions;
use slot::{Due, Outcome, Progress, Slot};

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
    /// Waits for records of all partitions.
    Main,
    /// Fetches what became due while the main one waits.
    Side,
}

/// A request to make.
#[derive(Debug)]
pub(super) struct Ask {
    id: u64,
    node: i32,
    lane: Lane,
    pub(super) wants: Vec<Want>,
    pub(super) max_bytes: i32,
    /// Whether something is left for the other lane, now or later.
    pub(super) beside: bool,
    lease: Lease,
}

/// One partition of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    /// Of the leader, as far as known.
    pub(super) leader_epoch: i32,
    /// Of what was read last, -1 if unknown; the leader tells when its log has something else there.
    pub(super) last_epoch: i32,
}

/// A partition that may be asked for.
#[derive(Debug)]
struct Candidate {
    /// What is served less and longer ago comes first.
    turn: (usize, u64),
    /// Whether its leader is known to have more.
    is_behind: bool,
    want: Want,
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

    /// Says what to ask a broker for now; or when to look again, if by then nothing else changed.
    pub(super) fn ask(
        &mut self,
        node: i32,
        lane: Lane,
        now: Now,
    ) -> std::result::Result<Ask, Option<Now>> {
        let polled = self.nodes.get(&node).is_some_and(|node| node.polled);
        if polled != (lane == Lane::Side) {
            return Err(None);
        }
        let mut due = Vec::new();
        let mut wake = None;
        for (name, slot) in self.partitions.iter() {
            let Some(leader) = slot.leader.filter(|leader| leader.node == node) else {
                continue;
            };
            match slot.due(now) {
                Due::Now => {
                    let want = Want {
                        partition: name,
                        offset: slot.fetch_at,
                        leader_epoch: leader.epoch,
                        last_epoch: slot.fetch_epoch.unwrap_or(-1),
                    };
                    due.push(Candidate {
                        turn: (slot.depth(), slot.served),
                        is_behind: slot.is_behind(self.settings.isolation),
                        want,
                    });
                }
                Due::At(at) => wake = Some(wake.map_or(at, |wake: Now| wake.min(at))),
                Due::Not => {}
            }
        }
        if due.is_empty() {
            return Err(wake);
        }
        let Some(lease) = self.reserve(node, due.len()) else {
            return Err(wake);
        };
        // A broker fills its answer in the order of the request.
        due.sort_unstable_by_key(|candidate| candidate.turn);
        let left = leave_a_part(&mut due, self.fits(&lease));
        let wants: Vec<_> = due.into_iter().map(|candidate| candidate.want).collect();
        let id = self.id();
        for want in &wants {
            if let Some(slot) = self.partitions.get_mut(&want.partition) {
                slot.asked = Some(id);
            }
        }
        self.set_polled(node, lane, true);
        let max_bytes = i32::try_from(lease.bytes()).unwrap_or(i32::MAX);
        Ok(Ask {
            id,
            node,
            lane,
            wants,
            max_bytes,
            beside: lane == Lane::Main && (wake.is_some() || left),
            lease,
        })
    }

    /// Returns how many partitions can bring as much as they may.
    fn fits(&self, lease: &Lease) -> usize {
        let part = self.settings.partition_max_bytes.unsigned_abs() as usize;
        lease.bytes().div_ceil(part.max(1))
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
        let mut changes = Changes::default();
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

/// Leaves half of those that are behind to the other connection, and says whether it did.
///
/// Where more are behind than an answer holds, half of them fill it as well; the others come at the
/// same time.
fn leave_a_part(due: &mut Vec<Candidate>, fits: usize) -> bool {
    let behind = due.iter().filter(|candidate| candidate.is_behind).count();
    if behind <= fits {
        return false;
    }
    let mut room = behind.div_ceil(2).max(fits);
    due.retain(|candidate| {
        let keep = !candidate.is_behind || room > 0;
        room -= usize::from(candidate.is_behind && keep);
        keep
    });
    true
}

/// Returns the bytes of the records in an answer.
pub(super) fn size(topics: &[FetchTopic]) -> usize {
    let parts = topics.iter().flat_map(|topic| &topic.partitions);
    let records = parts.filter_map(|part| part.records.as_ref());
    records.map(Bytes::len).sum()
}
