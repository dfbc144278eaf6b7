use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::TopicPartition;

/// Ties a response to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// Ties what is known of topics to the wish to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub(super) u64);

/// Ties the caller's `RevocationDone` to a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId(pub(crate) u64);

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Action {
    /// Sends a request and reports its one response or failure.
    ///
    /// A broker answers the requests of a connection in order and may hold back `JoinGroup` and
    /// `SyncGroup`: they need a connection of their own.
    Send {
        /// Comes back with the response.
        id: RequestId,
        /// The broker; any broker if none.
        to: Option<i32>,
        /// What to send.
        request: Request,
        /// When to give up and report a failure.
        timeout: Duration,
    },
    /// Tells the caller that its partitions change.
    Notify(Change),
    /// Says where owned partitions go on; no offset: nothing was ever committed.
    Positions(Vec<(TopicPartition, Option<Offset>)>),
    /// Tells what became of a commit.
    Committed {
        /// As in `Event::Commit`.
        id: u64,
        /// Whether the broker has all of its offsets.
        outcome: Result<(), CommitError>,
    },
    /// Asks for the partition counts of these topics, instead of those before, and keeps them
    /// fresh: `Event::Topics` reports them at least once. A leader waits for that.
    Watch {
        /// Comes back in `Event::Topics`.
        id: WatchId,
        /// The topics; those that do not exist may come later.
        topics: BTreeSet<Arc<str>>,
    },
    /// A refusal worth a line in the log; the member goes on by itself.
    Warn {
        /// The request that was refused.
        api: &'static str,
        /// Kafka's error code.
        code: i16,
    },
    /// The caller has not polled for `max_poll_interval`: the member leaves, until the next poll.
    Overdue,
    /// The member is out for good: another attempt would end the same way.
    Failed {
        /// The request that was refused.
        api: &'static str,
        /// Kafka's error code.
        code: i16,
    },
    /// The member has left, or did not need to.
    Closed,
}

/// How the caller's partitions change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These come in addition, after each rebalance, even if none.
    Assigned(BTreeSet<TopicPartition>),
    /// These go: finish what is under way, commit, and report `Event::RevocationDone`.
    Revoked {
        /// Names this revocation.
        id: RevocationId,
        /// What goes; not necessarily all.
        partitions: BTreeSet<TopicPartition>,
    },
    /// These are gone, and may be another's already: a commit would be refused.
    Lost(BTreeSet<TopicPartition>),
}

/// What the member asks of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Asks any broker where the group lives.
    FindCoordinator {
        /// The group.
        group: Arc<str>,
    },
    /// Joins, or joins again.
    JoinGroup {
        /// Empty for a member that has none yet.
        member_id: Arc<str>,
        /// `group.instance.id`.
        instance_id: Option<Arc<str>>,
        /// When a silent member is dead.
        session_timeout: Duration,
        /// How long others are waited for.
        rebalance_timeout: Duration,
        /// Assignor names with encoded `Subscription`s, the preferred first.
        protocols: Vec<(&'static str, Bytes)>,
    },
    /// Asks for the share; the leader brings all shares.
    SyncGroup {
        /// From the response to `JoinGroup`.
        generation: i32,
        /// Our id.
        member_id: Arc<str>,
        /// `group.instance.id`.
        instance_id: Option<Arc<str>>,
        /// From the response to `JoinGroup`.
        protocol: Arc<str>,
        /// Encoded `Assignment`s by member id; empty for a follower.
        assignments: Vec<(Arc<str>, Bytes)>,
    },
    /// Says that the member lives.
    Heartbeat {
        /// The generation that it is in.
        generation: i32,
        /// Our id.
        member_id: Arc<str>,
        /// `group.instance.id`.
        instance_id: Option<Arc<str>>,
    },
    /// Gives the place up.
    LeaveGroup {
        /// Our id.
        member_id: Arc<str>,
    },
    /// Commits offsets.
    OffsetCommit {
        /// The generation that owns the partitions.
        generation: i32,
        /// Our id.
        member_id: Arc<str>,
        /// `group.instance.id`.
        instance_id: Option<Arc<str>>,
        /// By partition.
        offsets: BTreeMap<TopicPartition, Offset>,
    },
    /// Asks for committed offsets; unstable ones are waited for.
    OffsetFetch {
        /// Of these partitions.
        partitions: BTreeSet<TopicPartition>,
    },
}

/// A committed offset: that of the next record to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// From 0.
    pub offset: i64,
    /// Of the last record read, if known.
    pub leader_epoch: Option<i32>,
    /// The caller's own note, at most 4096 bytes by default.
    pub metadata: Arc<str>,
}

/// Why offsets may not be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// Another commit is on its way; one at a time keeps them in order.
    Busy,
    /// A partition is not the member's: its records come again elsewhere.
    NotOwned(TopicPartition),
    /// The group is between two generations: try again when it is stable, for what is owned then.
    Rebalancing,
    /// The member lost its partitions: their records come again elsewhere.
    Lost,
    /// No coordinator, no answer, or a broker that is not ready: the offsets may have been written. The
    /// same commit may succeed a little later.
    Unavailable,
    /// The broker refuses this partition's offset with this code, and would again.
    Refused(TopicPartition, i16),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another commit is on its way; wait for it"),
            Self::NotOwned(partition) => write!(f, "{partition} is not owned by this member"),
            Self::Rebalancing => f.write_str("the group is rebalancing; commit again afterwards"),
            Self::Lost => f.write_str("the member lost its partitions to a rebalance"),
            Self::Unavailable => f.write_str("the group coordinator is not available; try again"),
            Self::Refused(partition, code) => {
                write!(
                    f,
                    "the broker refused the offset of {partition} with code {code}"
                )
            }
        }
    }
}

impl std::error::Error for CommitError {}
