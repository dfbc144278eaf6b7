use kafka_protocol::messages::{ApiKey, OffsetForLeaderEpochRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const VERSIONS: Versions = Versions::new(4, 4);
    type Answer = OffsetForLeaderEpochAnswer;
}

impl Answer for OffsetForLeaderEpochAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct OffsetForLeaderEpochAnswer {
        throttle_time_ms: i32;
        topics: Vec<OffsetForLeaderEpochTopic>;
    }

    struct OffsetForLeaderEpochTopic {
        topic: StrBytes;
        partitions: Vec<OffsetForLeaderEpochPartition>;
    }

    struct OffsetForLeaderEpochPartition {
        error_code: i16;
        partition: i32;
        /// -1 where it is not known.
        leader_epoch: i32;
        /// -1 where it is not known.
        end_offset: i64;
    }
}
