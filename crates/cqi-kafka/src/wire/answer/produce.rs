use kafka_protocol::messages::{ApiKey, ProduceRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    const VERSIONS: Versions = Versions::new(9, 9);
    type Answer = ProduceAnswer;
}

impl Answer for ProduceAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct ProduceAnswer {
        responses: Vec<ProduceTopic>;
        throttle_time_ms: i32;
    }

    struct ProduceTopic {
        name: StrBytes;
        partition_responses: Vec<ProducePartition>;
    }

    struct ProducePartition {
        index: i32;
        error_code: i16;
        base_offset: i64;
        /// -1 unless the topic has the time of appending.
        log_append_time_ms: i64;
        log_start_offset: i64;
        record_errors: Vec<ProduceRecordError>;
        error_message: Option<StrBytes>;
    }

    struct ProduceRecordError {
        batch_index: i32;
        batch_index_error_message: Option<StrBytes>;
    }
}
