use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{RequestId, RevocationId};
use crate::TopicPartition;
use crate::assignor::{Assignor, Member, PartitionCounts};

pub(super) type Topics = BTreeSet<Arc<str>>;

/// Where the member stands.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// In no group: nothing is subscribed, or the caller stopped polling.
    Out,
    /// About to join.
    Waiting {
        until: Duration,
    },
    Joining {
        request: RequestId,
        topics: Topics,
    },
    /// Elected, and waiting to hear what the group's topics look like.
    Leading(Election),
    Syncing {
        request: RequestId,
        joined: Joined,
    },
    /// In the generation, at work.
    Stable(Joined),
    /// In the generation; the caller finishes its work on these partitions.
    Revoking {
        id: RevocationId,
        partitions: BTreeSet<TopicPartition>,
        then: Then,
    },
    Leaving {
        request: RequestId,
    },
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Rejoin,
    Leave,
}

/// What a leader was told when it was elected.
#[derive(Debug, Clone)]
pub(super) struct Election {
    pub(super) assignor: Assignor,
    pub(super) members: Vec<Member>,
    /// The members keep what they have: a static leader came back.
    pub(super) skip: bool,
    pub(super) topics: Topics,
}

impl Election {
    pub(super) fn wanted(&self) -> Topics {
        let wanted = self
            .members
            .iter()
            .map(|member| &member.subscription.topics);
        wanted.flatten().cloned().collect()
    }
}

/// What a generation was formed on; when it is no longer true, the member joins again.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    /// What this member subscribed to.
    pub(super) topics: Topics,
    /// What the leader knew.
    pub(super) lead: Option<Lead>,
}

/// What a leader watches for its group.
#[derive(Debug, Clone)]
pub(super) struct Lead {
    pub(super) topics: Topics,
    pub(super) counts: PartitionCounts,
    /// When to decide again, if nothing else leads to it: a partition that was held back for its
    /// owner to give up has no other guarantee, for that owner may be gone and replaced unnoticed.
    pub(super) revisit_at: Option<Duration>,
}

impl Lead {
    pub(super) fn new(topics: Topics, known: &PartitionCounts) -> Self {
        let counts = Self::relevant(&topics, known);
        Self {
            topics,
            counts,
            revisit_at: None,
        }
    }

    pub(super) fn partitions(&self) -> usize {
        let counts = self.counts.values();
        counts
            .map(|&count| usize::try_from(count).unwrap_or(0))
            .sum()
    }

    pub(super) fn is_outdated(&self, known: &PartitionCounts) -> bool {
        Self::relevant(&self.topics, known) != self.counts
    }

    fn relevant(topics: &Topics, known: &PartitionCounts) -> PartitionCounts {
        let watched = known.iter().filter(|(topic, _)| topics.contains(*topic));
        watched
            .map(|(topic, &count)| (Arc::clone(topic), count))
            .collect()
    }
}

/// Who the member is to its coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    Stranger,
    Named(Arc<str>),
    Member { id: Arc<str>, generation: i32 },
}

impl Identity {
    pub(super) const fn id(&self) -> Option<&Arc<str>> {
        match self {
            Self::Stranger => None,
            Self::Named(id) | Self::Member { id, .. } => Some(id),
        }
    }

    pub(super) const fn generation(&self) -> Option<i32> {
        match self {
            Self::Member { generation, .. } => Some(*generation),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinator {
    Unknown { retry_at: Duration },
    Finding(RequestId),
    Known(i32),
}
