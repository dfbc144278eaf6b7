//! Keeps what members own, fills up the least loaded, then evens out along the shortest chains.
//!
//! With equal subscriptions that is the least number of moves: each one takes from a member above
//! its quota, or gives to one below, and the unowned partitions went to those below first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Member, PartitionCounts, Shares};
use crate::TopicPartition;

/// The state of the decision; members and topics are their places in sorted lists.
struct Board<'a> {
    members: Vec<&'a Member>,
    topics: Vec<Topic<'a>>,
    /// What each member holds, by topic.
    held: Vec<BTreeMap<usize, BTreeSet<i32>>>,
    load: Vec<usize>,
}

struct Topic<'a> {
    name: &'a Arc<str>,
    count: i32,
    takers: Vec<usize>,
    /// Who owns each partition already.
    owners: BTreeMap<i32, Claim>,
}

/// What the members say about one partition.
#[derive(Clone, Copy)]
enum Claim {
    By {
        member: usize,
        generation: i32,
    },
    /// Two members claim it for one generation: neither is believed, both have to let go.
    Disputed {
        generation: i32,
    },
}

impl Claim {
    const fn generation(self) -> i32 {
        match self {
            Self::By { generation, .. } | Self::Disputed { generation } => generation,
        }
    }

    fn is_by(self, taker: usize) -> bool {
        matches!(self, Self::By { member, .. } if member == taker)
    }
}

pub(super) fn assign(members: &[&Member], topics: &PartitionCounts) -> Shares {
    let mut board = Board::new(members, topics);
    board.fill();
    board.even_out();
    board.shares()
}

impl<'a> Board<'a> {
    fn new(members: &[&'a Member], counts: &'a PartitionCounts) -> Self {
        let mut members = members.to_vec();
        members.sort_unstable_by_key(|member| &member.id);
        let topics = counts
            .iter()
            .map(|(name, &count)| Topic::new(name, count, &members))
            .filter(|topic| !topic.takers.is_empty())
            .collect();
        let (held, load) = (vec![BTreeMap::new(); members.len()], vec![0; members.len()]);
        let mut board = Self {
            members,
            topics,
            held,
            load,
        };
        board.keep();
        board
    }

    /// Leaves with each member what it owns and still wants.
    fn keep(&mut self) {
        for topic in 0..self.topics.len() {
            for (partition, claim) in self.topics[topic].owners.clone() {
                if let Claim::By { member, .. } = claim
                    && self.topics[topic].takers.binary_search(&member).is_ok()
                {
                    self.give(member, topic, partition);
                }
            }
        }
    }

    /// Gives what nobody holds to the least loaded, the topics with the fewest takers first.
    fn fill(&mut self) {
        let mut order: Vec<usize> = (0..self.topics.len()).collect();
        order.sort_by_key(|&topic| self.topics[topic].takers.len());
        for topic in order {
            let held: BTreeSet<i32> = self
                .held
                .iter()
                .filter_map(|held| held.get(&topic))
                .flatten()
                .copied()
                .collect();
            let takers = self.topics[topic].takers.iter();
            let mut queue: BTreeSet<_> = takers.map(|&taker| (self.load[taker], taker)).collect();
            for partition in (0..self.topics[topic].count).filter(|free| !held.contains(free)) {
                if let Some((load, taker)) = queue.pop_first() {
                    self.give(taker, topic, partition);
                    queue.insert((load + 1, taker));
                }
            }
        }
    }

    /// Moves partitions down, from the most loaded, until no chain leads to a member with two
    /// fewer; each move lowers the sum of squared loads, so there is an end.
    fn even_out(&mut self) {
        let mut by_load: Vec<usize> = (0..self.members.len()).collect();
        loop {
            by_load.sort_by_key(|&member| std::cmp::Reverse(self.load[member]));
            let chain = by_load
                .iter()
                .find_map(|&from| Some((from, self.chain_down(from)?)));
            let Some((mut giver, chain)) = chain else {
                return;
            };
            for (topic, taker) in chain {
                self.pass_on(giver, topic, taker);
                giver = taker;
            }
        }
    }

    /// The shortest way from `from` to the least loaded member that it leads to, as `(topic, taker)`.
    fn chain_down(&self, from: usize) -> Option<Vec<(usize, usize)>> {
        let mut came_by: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut seen_topics = BTreeSet::new();
        let mut distance = vec![usize::MAX; self.members.len()];
        distance[from] = 0;
        let mut queue = VecDeque::from([from]);
        while let Some(giver) = queue.pop_front() {
            for &topic in self.held[giver].keys() {
                let all_reached = came_by.len() + 1 == self.members.len();
                if all_reached || !seen_topics.insert(topic) {
                    continue;
                }
                for &taker in &self.topics[topic].takers {
                    if distance[taker] == usize::MAX {
                        distance[taker] = distance[giver] + 1;
                        came_by.insert(taker, (topic, giver));
                        queue.push_back(taker);
                    }
                }
            }
        }
        let mut at = *came_by
            .keys()
            .filter(|&&to| self.load[to] + 2 <= self.load[from])
            .min_by_key(|&&to| (self.load[to], distance[to]))?;
        let mut chain = Vec::new();
        while at != from {
            let &(topic, giver) = came_by.get(&at)?;
            chain.push((topic, at));
            at = giver;
        }
        chain.reverse();
        Some(chain)
    }

    /// Prefers a partition that the giver does not own yet, and one that the taker did own.
    fn pass_on(&mut self, giver: usize, topic: usize, taker: usize) {
        let owners = &self.topics[topic].owners;
        let cost = |partition: &&i32| {
            let claim = owners.get(partition);
            let was = |member| claim.is_some_and(|claim| claim.is_by(member));
            (was(giver), !was(taker), -**partition)
        };
        let chosen = self.held[giver]
            .get(&topic)
            .and_then(|held| held.iter().min_by_key(cost).copied());
        if let Some(partition) = chosen {
            self.take(giver, topic, partition);
            self.give(taker, topic, partition);
        }
    }

    fn give(&mut self, taker: usize, topic: usize, partition: i32) {
        self.held[taker].entry(topic).or_default().insert(partition);
        self.load[taker] += 1;
    }

    fn take(&mut self, giver: usize, topic: usize, partition: i32) {
        if let Some(held) = self.held[giver].get_mut(&topic) {
            held.remove(&partition);
            if held.is_empty() {
                self.held[giver].remove(&topic);
            }
        }
        self.load[giver] -= 1;
    }

    /// Holds back what another member still owns: it must let go and join again first.
    ///
    /// A claim from an older generation counts too: its member may have missed a round, and
    /// consumes until it learns of this one.
    fn shares(self) -> Shares {
        let share = |(member, held): (usize, BTreeMap<usize, BTreeSet<i32>>)| {
            let topics = &self.topics;
            let partitions = held.into_iter().flat_map(|(topic, partitions)| {
                let Topic { name, owners, .. } = &topics[topic];
                partitions
                    .into_iter()
                    .filter(move |partition| {
                        owners
                            .get(partition)
                            .is_none_or(|claim| claim.is_by(member))
                    })
                    .map(move |partition| TopicPartition::new(Arc::clone(name), partition))
            });
            (Arc::clone(&self.members[member].id), partitions.collect())
        };
        self.held.into_iter().enumerate().map(share).collect()
    }
}

impl<'a> Topic<'a> {
    fn new(name: &'a Arc<str>, count: i32, members: &[&Member]) -> Self {
        let takers = (0..members.len()).filter(|&place| members[place].subscribes(name));
        let mut owners = BTreeMap::new();
        let all = TopicPartition::new(Arc::clone(name), 0)
            ..TopicPartition::new(Arc::clone(name), count.max(0));
        for (place, member) in members.iter().enumerate() {
            let generation = member.subscription.generation.unwrap_or(-1);
            for owned in member.subscription.owned.range(all.clone()) {
                let claim = Claim::By {
                    member: place,
                    generation,
                };
                owners
                    .entry(owned.partition())
                    .and_modify(
                        |other: &mut Claim| match other.generation().cmp(&generation) {
                            std::cmp::Ordering::Less => *other = claim,
                            std::cmp::Ordering::Equal => *other = Claim::Disputed { generation },
                            std::cmp::Ordering::Greater => {}
                        },
                    )
                    .or_insert(claim);
            }
        }
        Self {
            name,
            count,
            takers: takers.collect(),
            owners,
        }
    }
}
