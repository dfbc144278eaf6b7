use kafka_protocol::messages::{ApiKey, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    const VERSIONS: Versions = Versions::new(7, 7);
    type Answer = OffsetFetchAnswer;
}

impl Answer for OffsetFetchAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct OffsetFetchAnswer {
        throttle_time_ms: i32;
        topics: Vec<OffsetFetchTopic>;
        error_code: i16;
    }

    struct OffsetFetchTopic {
        name: StrBytes;
        partitions: Vec<OffsetFetchPartition>;
    }

    struct OffsetFetchPartition {
        partition_index: i32;
        /// -1 where nothing is committed.
        committed_offset: i64;
        /// -1 where it is not known.
        committed_leader_epoch: i32;
        metadata: Option<StrBytes>;
        error_code: i16;
    }
}
