use std::fmt;

use kafka_protocol::messages::ApiKey;

/// What a client asks of a broker: the APIs that the scripted brokers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Api {
    /// Which versions the broker has of each API.
    ApiVersions,
    /// The brokers, and the leaders of the partitions.
    Metadata,
    /// The coordinator of a group.
    FindCoordinator,
    /// Joins a group; waits for the other members.
    JoinGroup,
    /// Gives or takes assignments; waits for the group's leader.
    SyncGroup,
    /// Says that a member is alive.
    Heartbeat,
    /// Leaves a group.
    LeaveGroup,
    /// Commits offsets.
    OffsetCommit,
    /// Asks for committed offsets.
    OffsetFetch,
    /// Asks for the offset at a time, at the beginning or at the end.
    ListOffsets,
    /// Asks for records; waits until there are some.
    Fetch,
    /// Appends records.
    Produce,
    /// Asks for a producer id.
    InitProducerId,
    /// Asks where a leader's epoch ended.
    OffsetForLeaderEpoch,
    /// Chooses how to log in.
    SaslHandshake,
    /// Logs in.
    SaslAuthenticate,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::ApiVersions,
        Self::Metadata,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::SyncGroup,
        Self::Heartbeat,
        Self::LeaveGroup,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::ListOffsets,
        Self::Fetch,
        Self::Produce,
        Self::InitProducerId,
        Self::OffsetForLeaderEpoch,
        Self::SaslHandshake,
        Self::SaslAuthenticate,
    ];

    fn protocol(self) -> ApiKey {
        match self {
            Self::ApiVersions => ApiKey::ApiVersions,
            Self::Metadata => ApiKey::Metadata,
            Self::FindCoordinator => ApiKey::FindCoordinator,
            Self::JoinGroup => ApiKey::JoinGroup,
            Self::SyncGroup => ApiKey::SyncGroup,
            Self::Heartbeat => ApiKey::Heartbeat,
            Self::LeaveGroup => ApiKey::LeaveGroup,
            Self::OffsetCommit => ApiKey::OffsetCommit,
            Self::OffsetFetch => ApiKey::OffsetFetch,
            Self::ListOffsets => ApiKey::ListOffsets,
            Self::Fetch => ApiKey::Fetch,
            Self::Produce => ApiKey::Produce,
            Self::InitProducerId => ApiKey::InitProducerId,
            Self::OffsetForLeaderEpoch => ApiKey::OffsetForLeaderEpoch,
            Self::SaslHandshake => ApiKey::SaslHandshake,
            Self::SaslAuthenticate => ApiKey::SaslAuthenticate,
        }
    }

    /// Returns the number by which the protocol names it.
    #[must_use]
    pub fn key(self) -> i16 {
        self.protocol() as i16
    }

    pub(super) fn of(key: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.key() == key)
    }

    /// The lowest and the highest version that the scripted brokers can answer.
    pub(super) fn versions(self) -> (i16, i16) {
        match self {
            Self::ApiVersions => (0, 3),
            Self::Metadata => (4, 12),
            Self::FindCoordinator => (1, 3),
            Self::JoinGroup => (5, 9),
            Self::SyncGroup | Self::LeaveGroup => (3, 5),
            Self::Heartbeat | Self::OffsetForLeaderEpoch => (3, 4),
            Self::OffsetCommit | Self::Produce => (7, 9),
            Self::OffsetFetch => (5, 7),
            Self::ListOffsets => (4, 7),
            Self::Fetch => (11, 12),
            Self::InitProducerId => (2, 4),
            Self::SaslHandshake => (1, 1),
            Self::SaslAuthenticate => (1, 2),
        }
    }

    /// Whether the header of an answer ends in tagged fields.
    pub(super) fn tags_answers(self, version: i16) -> bool {
        self.protocol().response_header_version(version) > 0
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_protocols() {
        assert_eq!(Api::Produce.key(), 0);
        assert_eq!(Api::SaslAuthenticate.key(), 36);
        for api in Api::ALL {
            assert_eq!(Api::of(api.key()), Some(api));
        }
        assert_eq!(Api::of(19), None);
    }
}
