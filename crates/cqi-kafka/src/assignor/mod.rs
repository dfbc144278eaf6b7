//! Shares the partitions of a group among its members, as the Java client and librdkafka do.
//!
//! One member of a group, its leader, decides for all; members of different clients meet in one
//! group, so each must understand what the others say about themselves ([`Subscription`]) and
//! what a foreign leader decided ([`Assignment`]).
//!
//! ```
//! use std::collections::BTreeMap;
//! use cqi_kafka::assignor::{Assignor, Member, Subscription};
//!
//! let members = ["a", "b"].map(|id| Member::new(id, Subscription::new(["prices"])));
//! let topics = BTreeMap::from([("prices".into(), 3)]);
//! let shares = Assignor::Range.assign(&members, &topics);
//! assert_eq!(shares["a"].len(), 2);
//! assert_eq!(shares["b"].len(), 1);
//! ```

mod range;
mod round_robin;
mod sticky;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::TopicPartition;
pub use wire::{Assignment, DecodeError, Subscription};

/// The partitions of each member, by member id; every member has an entry.
pub type Shares = BTreeMap<Arc<str>, BTreeSet<TopicPartition>>;

/// The number of partitions of each topic that exists.
pub type PartitionCounts = BTreeMap<Arc<str>, i32>;

/// Decides who consumes what.
///
/// All three give every partition of a topic that somebody subscribed to exactly one owner,
/// and the same answer to the same question whatever the order of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Assignor {
    /// Cuts each topic into contiguous ranges; equal partitions of several topics meet at one
    /// member. Java's `RangeAssignor`.
    Range,
    /// Deals the partitions of all topics out in turn. Java's `RoundRobinAssignor`.
    RoundRobin,
    /// Balances within one partition and moves as few as it can; members keep consuming during
    /// a rebalance. Java's `CooperativeStickyAssignor`.
    CooperativeSticky,
}

/// How a group changes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rebalance {
    /// Everybody gives everything back before a rebalance.
    Eager,
    /// Only what moves is given back, and stays without an owner for one round.
    Cooperative,
}

/// One member of a group, as its leader sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Member {
    /// The id that the coordinator gave.
    pub id: Arc<str>,
    /// `group.instance.id`, which survives restarts; range and round-robin order by it.
    pub instance_id: Option<Arc<str>>,
    /// What the member said of itself when it joined.
    pub subscription: Subscription,
}

impl Member {
    /// Describes a dynamic member.
    pub fn new(id: impl Into<Arc<str>>, subscription: Subscription) -> Self {
        Self {
            id: id.into(),
            instance_id: None,
            subscription,
        }
    }

    /// Makes it a static member.
    #[must_use]
    pub fn with_instance_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    fn subscribes(&self, topic: &str) -> bool {
        self.subscription.topics.contains(topic)
    }

    /// Static members come first and keep their place over restarts, as in the Java client.
    fn rank(&self) -> (bool, Option<&Arc<str>>, &Arc<str>) {
        (
            self.instance_id.is_none(),
            self.instance_id.as_ref(),
            &self.id,
        )
    }
}

impl Assignor {
    /// The name under which members of all clients know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Finds an assignor by its [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Range, Self::RoundRobin, Self::CooperativeSticky]
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// The most that it can do for a group; see [`Rebalance::of`] for several.
    #[must_use]
    pub const fn rebalance(self) -> Rebalance {
        match self {
            Self::Range | Self::RoundRobin => Rebalance::Eager,
            Self::CooperativeSticky => Rebalance::Cooperative,
        }
    }

    /// Decides; topics that do not exist are left out.
    ///
    /// What a member of a cooperative group has to give up first is in nobody's share this time.
    #[must_use]
    pub fn assign(self, members: &[Member], topics: &PartitionCounts) -> Shares {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_unstable_by_key(|member| member.rank());
        members.dedup_by_key(|member| &member.id);
        match self {
            Self::Range => range::assign(&members, topics),
            Self::RoundRobin => round_robin::assign(&members, topics),
            Self::CooperativeSticky => sticky::assign(&members, topics),
        }
    }
}

impl Rebalance {
    /// A member that offers several assignors is cooperative only if all of them are.
    #[must_use]
    pub fn of(assignors: &[Assignor]) -> Self {
        if assignors
            .iter()
            .all(|assignor| assignor.rebalance() == Self::Cooperative)
        {
            Self::Cooperative
        } else {
            Self::Eager
        }
    }
}

fn empty_shares(members: &[&Member]) -> Shares {
    members
        .iter()
        .map(|member| (Arc::clone(&member.id), BTreeSet::new()))
        .collect()
}
