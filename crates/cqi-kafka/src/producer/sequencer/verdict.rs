/// What a broker's code for a batch means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in the log, by this attempt or an earlier one.
    Written,
    /// Its sequence does not follow what the broker has; this attempt was not appended.
    OutOfOrder,
    /// Somebody else writes under this producer id.
    Fenced,
    /// Damaged on its way, as it seems; this attempt was not appended.
    Corrupt,
    /// Another attempt may do.
    Retry {
        /// Whether this one may be in the log.
        doubtful: bool,
        /// Whether what is known of the leaders is old.
        stale: bool,
    },
    /// No attempt will do.
    Refused {
        /// Whether this one may be in the log.
        doubtful: bool,
    },
}

impl Verdict {
    /// As the Java client's `Errors` and `Sender` have it. What a broker may answer after it
    /// appended is doubtful: with acks=all it waits for its followers, and meanwhile may lose the
    /// partition's lead.
    pub(super) const fn of(code: i16) -> Self {
        const fn retry(doubtful: bool, stale: bool) -> Verdict {
            Verdict::Retry { doubtful, stale }
        }
        match code {
            // DUPLICATE_SEQUENCE_NUMBER is the second.
            0 | 46 => Self::Written,
            // OUT_OF_ORDER_SEQUENCE_NUMBER, UNKNOWN_PRODUCER_ID.
            45 | 59 => Self::OutOfOrder,
            // INVALID_PRODUCER_EPOCH, PRODUCER_FENCED.
            47 | 90 => Self::Fenced,
            // CORRUPT_MESSAGE.
            2 => Self::Corrupt,
            // UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER,
            // REPLICA_NOT_AVAILABLE, NETWORK_EXCEPTION, NOT_CONTROLLER, KAFKA_STORAGE_ERROR,
            // LISTENER_NOT_FOUND, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, UNKNOWN_TOPIC_ID,
            // INCONSISTENT_TOPIC_ID.
            3 | 5 | 6 | 9 | 13 | 41 | 56 | 72 | 74 | 75 | 100 | 103 => retry(true, true),
            // NOT_ENOUGH_REPLICAS is found out before the append.
            19 => retry(false, false),
            // REQUEST_TIMED_OUT, COORDINATOR_*, NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            // CONCURRENT_TRANSACTIONS, OFFSET_NOT_AVAILABLE, THROTTLING_QUOTA_EXCEEDED.
            7 | 14 | 15 | 16 | 20 | 51 | 78 | 89 => retry(true, false),
            // MESSAGE_TOO_LARGE, INVALID_TOPIC, RECORD_LIST_TOO_LARGE, INVALID_REQUIRED_ACKS,
            // TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED, INVALID_TIMESTAMP,
            // UNSUPPORTED_SASL_MECHANISM to UNSUPPORTED_VERSION, INVALID_REQUEST,
            // UNSUPPORTED_FOR_MESSAGE_FORMAT, POLICY_VIOLATION, INVALID_PRODUCER_ID_MAPPING,
            // TRANSACTIONAL_ID_AUTHORIZATION_FAILED, UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD.
            10 | 17 | 18 | 21 | 29 | 31 | 32 | 33 | 34 | 35 | 42 | 43 | 44 | 49 | 53 | 76 | 87 => {
                Self::Refused { doubtful: false }
            }
            _ => Self::Refused { doubtful: true },
        }
    }
}
