//! What Kafka's error codes mean to a client.

use std::fmt;

use cqi_errors::{Error, Kind};
use kafka_protocol::ResponseError as E;

/// Whether the same request may succeed a little later, as the protocol guide has it.
pub(crate) const fn is_retriable(code: i16) -> bool {
    matches!(E::try_from_code(code), Some(error) if error.is_retriable())
}

/// Whether what is known of a partition's leader is out of date: `InvalidMetadataException` in Java.
pub(crate) const fn stale_metadata(code: i16) -> bool {
    matches!(
        E::try_from_code(code),
        Some(
            E::UnknownTopicOrPartition
                | E::LeaderNotAvailable
                | E::NotLeaderOrFollower
                | E::ReplicaNotAvailable
                | E::NetworkException
                | E::KafkaStorageError
                | E::ListenerNotFound
                | E::FencedLeaderEpoch
                | E::UnknownLeaderEpoch
                | E::OffsetNotAvailable
                | E::UnknownTopicId
                | E::InconsistentTopicId
        )
    )
}

/// Whether the principal may not do that: an ACL is missing.
pub(crate) const fn is_authorization(code: i16) -> bool {
    matches!(
        E::try_from_code(code),
        Some(
            E::TopicAuthorizationFailed
                | E::GroupAuthorizationFailed
                | E::ClusterAuthorizationFailed
                | E::TransactionalIdAuthorizationFailed
                | E::DelegationTokenAuthorizationFailed
        )
    )
}

/// The code as the protocol guide writes it, with its number: `NOT_COORDINATOR (16)`.
pub(crate) const fn name(code: i16) -> Name {
    Name(code)
}

/// Displays an error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name(i16);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(code) = self;
        match E::try_from_code(*code) {
            None => f.write_str("NONE")?,
            Some(E::Unknown(_)) => f.write_str("a code that this client does not know")?,
            Some(error) => {
                for (i, letter) in format!("{error:?}").char_indices() {
                    if i > 0 && letter.is_ascii_uppercase() {
                        f.write_str("_")?;
                    }
                    write!(f, "{}", letter.to_ascii_uppercase())?;
                }
            }
        }
        write!(f, " ({code})")
    }
}

/// Says that a broker refused a request with a code, what of (`topic orders, partition 3 at kafka-1:9092`),
/// and what to do about it.
///
/// Retriable codes are `Temporary`, missing ACLs `Forbidden`, and so on: see `kind`.
pub(crate) fn refused(api: &str, code: i16, on: impl fmt::Display) -> Error {
    let name = name(code);
    let text = match next_step(code) {
        Some(step) => format!("{api} of {on} was refused with {name}; {step}"),
        None => format!("{api} of {on} was refused with {name}"),
    };
    Error::new(kind(code), text)
}

/// What an error with this code is to the caller, when the client gives up.
const fn kind(code: i16) -> Kind {
    let Some(error) = E::try_from_code(code) else {
        return Kind::Unknown;
    };
    match error {
        _ if is_authorization(code) => Kind::Forbidden,
        E::SaslAuthenticationFailed => Kind::Unauthorized,
        E::RequestTimedOut => Kind::Timeout,
        E::ThrottlingQuotaExceeded => Kind::RateLimited,
        E::OffsetOutOfRange | E::OffsetMovedToTieredStorage => Kind::NotFound,
        _ if error.is_retriable() => Kind::Temporary,
        E::BrokerNotAvailable => Kind::Temporary,
        // The caller no longer is who it was: it joins or starts again, and decides anew.
        E::FencedInstanceId
        | E::IllegalGeneration
        | E::InvalidProducerEpoch
        | E::ProducerFenced
        | E::RebalanceInProgress
        | E::UnknownMemberId => Kind::Conflict,
        E::InvalidCommitOffsetSize
        | E::InvalidGroupId
        | E::InvalidRecord
        | E::InvalidSessionTimeout
        | E::InvalidTimestamp
        | E::InvalidTopicException
        | E::MessageTooLarge
        | E::OffsetMetadataTooLarge
        | E::PolicyViolation
        | E::RecordListTooLarge => Kind::InvalidInput,
        E::Unknown(_) | E::UnknownServerError => Kind::Unknown,
        _ => Kind::Permanent,
    }
}

const fn next_step(code: i16) -> Option<&'static str> {
    let Some(error) = E::try_from_code(code) else {
        return None;
    };
    Some(match error {
        E::BrokerNotAvailable | E::CoordinatorNotAvailable | E::LeaderNotAvailable => {
            "brokers may be down or electing: check that they run and that the partition, or that \
             of __consumer_offsets or __transaction_state, has a leader"
        }
        E::ClusterAuthorizationFailed => {
            "grant the principal IdempotentWrite on the cluster, or Write on the topic"
        }
        E::CorruptMessage => "the bytes changed on their way or on the broker's disk",
        E::FencedInstanceId => {
            "another process runs with the same group.instance.id: give each its own"
        }
        E::GroupAuthorizationFailed => "grant the principal Read on the group",
        E::GroupMaxSizeReached => "raise the broker's group.max.size, or run fewer members",
        E::IllegalGeneration | E::RebalanceInProgress | E::UnknownMemberId => {
            "the group has moved on: poll, and go on with what is assigned then"
        }
        E::InconsistentGroupProtocol => {
            "the group's members share no assignor: give all of them one in common"
        }
        E::InvalidGroupId => "a group needs a name",
        E::InvalidProducerEpoch | E::ProducerFenced => {
            "another producer took this one's place: start a new one"
        }
        E::InvalidRecord => {
            "a compacted topic needs keys, and the broker's log says what else it wants"
        }
        E::InvalidSessionTimeout => {
            "keep it between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"
        }
        E::InvalidTimestamp => {
            "the topic's message.timestamp settings say how far a record's may be from now"
        }
        E::InvalidTopicException => {
            "a topic's name has 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'"
        }
        E::KafkaStorageError => "check the disk of the partition's leader",
        E::MessageTooLarge | E::RecordListTooLarge => {
            "write smaller batches, or raise the topic's max.message.bytes and segment.bytes"
        }
        E::NotEnoughReplicas | E::NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than the topic's min.insync.replicas: check the brokers"
        }
        E::OffsetMetadataTooLarge => {
            "commit less metadata, or raise the broker's offset.metadata.max.bytes"
        }
        E::OffsetOutOfRange | E::OffsetMovedToTieredStorage => {
            "the partition's records there are gone or not written yet: seek to one that it has"
        }
        E::OutOfOrderSequenceNumber | E::UnknownProducerId => {
            "the broker misses records of this producer that were acknowledged or were in flight: \
             check what the partition holds, and start a new producer"
        }
        E::PolicyViolation => "the broker's own policy forbids it: see its log",
        E::SaslAuthenticationFailed => "check the user name, the password and the mechanism",
        E::ThrottlingQuotaExceeded => "ask less often, or raise the client's quota",
        E::TopicAuthorizationFailed => {
            "grant the principal Read on the topic to consume, Write to produce, and Describe"
        }
        E::UnknownServerError => "the broker's log says more",
        E::UnknownTopicOrPartition => {
            "create the topic, or grant the principal Describe on it if it exists"
        }
        E::UnsupportedCompressionType => "choose another compression",
        E::UnsupportedSaslMechanism => "choose one that the broker's listener has enabled",
        E::UnsupportedVersion => "the broker is too old or too new for this client",
        _ if error.is_retriable() => "brokers settle that by themselves: try again a little later",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn codes_have_the_protocol_guides_names() {
        let names = [-1, 0, 6, 16, 17, 35, 48, 56, 58, 70, 74, 82, 133, 1000];
        let names: Vec<_> = names.iter().map(|code| name(*code).to_string()).collect();
        expect![[r#"
            UNKNOWN_SERVER_ERROR (-1)
            NONE (0)
            NOT_LEADER_OR_FOLLOWER (6)
            NOT_COORDINATOR (16)
            INVALID_TOPIC_EXCEPTION (17)
            UNSUPPORTED_VERSION (35)
            INVALID_TXN_STATE (48)
            KAFKA_STORAGE_ERROR (56)
            SASL_AUTHENTICATION_FAILED (58)
            FETCH_SESSION_ID_NOT_FOUND (70)
            FENCED_LEADER_EPOCH (74)
            FENCED_INSTANCE_ID (82)
            SHARE_SESSION_LIMIT_REACHED (133)
            a code that this client does not know (1000)"#]]
        .assert_eq(&names.join("\n"));
    }

    #[test]
    fn a_refusal_says_what_was_refused_why_and_what_to_do() {
        expect!["Produce of topic orders, partition 3 at kafka-1:9092 was refused with MESSAGE_TOO_LARGE (10); write smaller batches, or raise the topic's max.message.bytes and segment.bytes"]
            .assert_eq(
                &refused("Produce", 10, "topic orders, partition 3 at kafka-1:9092").to_string(),
            );
    }

    #[test]
    fn a_code_decides_the_kind() {
        for (code, kind) in [
            (58, Kind::Unauthorized),
            (29, Kind::Forbidden),
            (30, Kind::Forbidden),
            (31, Kind::Forbidden),
            (7, Kind::Timeout),
            (89, Kind::RateLimited),
            (1, Kind::NotFound),
            (3, Kind::Temporary),
            (6, Kind::Temporary),
            (14, Kind::Temporary),
            (16, Kind::Temporary),
            (22, Kind::Conflict),
            (82, Kind::Conflict),
            (10, Kind::InvalidInput),
            (35, Kind::Permanent),
            (45, Kind::Permanent),
            (-1, Kind::Unknown),
            (1000, Kind::Unknown),
        ] {
            assert_eq!(refused("Fetch", code, "topic a").kind(), kind, "{code}");
        }
    }

    #[test]
    fn what_moved_or_may_pass_is_not_final() {
        for code in -1..=200 {
            let kind = refused("Fetch", code, "topic a").kind();
            let tries_again = matches!(kind, Kind::Temporary | Kind::Timeout | Kind::RateLimited);
            if is_retriable(code) || stale_metadata(code) {
                assert!(tries_again, "{} is {kind:?}", name(code));
            }
            assert_eq!(is_authorization(code), kind == Kind::Forbidden, "{code}");
        }
        assert!(!is_retriable(0) && !stale_metadata(0));
    }
}
