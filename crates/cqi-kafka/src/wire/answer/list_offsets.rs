use kafka_protocol::messages::{ApiKey, ListOffsetsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    const VERSIONS: Versions = Versions::new(6, 7);
    type Answer = ListOffsetsAnswer;
}

impl Answer for ListOffsetsAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct ListOffsetsAnswer {
        throttle_time_ms: i32;
        topics: Vec<ListOffsetsTopic>;
    }

    struct ListOffsetsTopic {
        name: StrBytes;
        partitions: Vec<ListOffsetsPartition>;
    }

    struct ListOffsetsPartition {
        partition_index: i32;
        error_code: i16;
        /// Milliseconds since 1970; -1 where the question was not about time.
        timestamp: i64;
        /// -1 where no record is that young.
        offset: i64;
        /// -1 where it is not known.
        leader_epoch: i32;
    }
}
