use kafka_protocol::messages::{ApiKey, InitProducerIdRequest};

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: Versions = Versions::new(4, 4);
    type Answer = InitProducerIdAnswer;
}

impl Answer for InitProducerIdAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct InitProducerIdAnswer {
        throttle_time_ms: i32;
        error_code: i16;
        producer_id: i64;
        producer_epoch: i16;
    }
}
