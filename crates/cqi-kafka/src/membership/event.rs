use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{Offset, RequestId, RevocationId, WatchId};
use crate::TopicPartition;
use crate::assignor::PartitionCounts;

/// What happened to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Time passed; nothing else.
    Tick,
    /// The caller wants these topics from now on; an empty set leaves the group.
    Subscribe(BTreeSet<Arc<str>>),
    /// The caller asked for records: it is alive.
    Polled,
    /// The caller gave back what a revocation named; it is alive.
    RevocationDone(RevocationId),
    /// The caller wants these offsets, of the next records to read, committed.
    Commit {
        /// Comes back in `Action::Committed`.
        id: u64,
        /// By partition; all must be owned.
        offsets: BTreeMap<TopicPartition, Offset>,
    },
    /// What the brokers say of the watched topics; those that do not exist are left out.
    Topics {
        /// From `Action::Watch`; an older one is ignored.
        watch: WatchId,
        /// All of them, changed or not.
        counts: PartitionCounts,
    },
    /// A broker answered; an answer to what is no longer asked is ignored.
    Response(RequestId, Response),
    /// No answer will come: no connection, a broken one, or the timeout.
    Failed(RequestId),
    /// The caller is done with all partitions, and with its last commit: leave at once, without
    /// another notification about partitions.
    Close,
}

/// What a broker answered. Codes are those of the Kafka protocol, 0 for none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// Where the group lives.
    FindCoordinator {
        /// Error code.
        code: i16,
        /// Broker id.
        node: i32,
    },
    /// The member is in a new generation.
    JoinGroup {
        /// Error code.
        code: i16,
        /// The new generation.
        generation: i32,
        /// The assignor that all members know.
        protocol: Arc<str>,
        /// Member id of the leader.
        leader: Arc<str>,
        /// Our own id; with `MEMBER_ID_REQUIRED` the one to come back with.
        member_id: Arc<str>,
        /// From version 9: the leader has nothing to decide.
        skip_assignment: bool,
        /// All members, for the leader only.
        members: Vec<JoinedMember>,
    },
    /// The member's share.
    SyncGroup {
        /// Error code.
        code: i16,
        /// An encoded `Assignment`.
        assignment: Bytes,
    },
    /// The member is known.
    Heartbeat {
        /// Error code.
        code: i16,
    },
    /// The member is gone.
    LeaveGroup {
        /// Error code.
        code: i16,
    },
    /// What became of each offset.
    OffsetCommit {
        /// Error code of each partition.
        codes: Vec<(TopicPartition, i16)>,
    },
    /// Where to go on.
    OffsetFetch {
        /// Error code of the whole.
        code: i16,
        /// Error code and offset of each partition; no offset where the broker says -1.
        offsets: Vec<(TopicPartition, i16, Option<Offset>)>,
    },
}

/// A member as the coordinator describes it to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its `group.instance.id`.
    pub instance_id: Option<Arc<str>>,
    /// An encoded `Subscription`.
    pub metadata: Bytes,
}
