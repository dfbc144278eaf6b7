use kafka_protocol::messages::{ApiKey, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    const VERSIONS: Versions = Versions::new(8, 8);
    type Answer = OffsetCommitAnswer;
}

impl Answer for OffsetCommitAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct OffsetCommitAnswer {
        throttle_time_ms: i32;
        topics: Vec<OffsetCommitTopic>;
    }

    struct OffsetCommitTopic {
        name: StrBytes;
        partitions: Vec<OffsetCommitPartition>;
    }

    struct OffsetCommitPartition {
        partition_index: i32;
        error_code: i16;
    }
}
