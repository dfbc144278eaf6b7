use kafka_protocol::messages::{ApiKey, HeartbeatRequest};

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    const VERSIONS: Versions = Versions::new(4, 4);
    type Answer = HeartbeatAnswer;
}

impl Answer for HeartbeatAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct HeartbeatAnswer {
        throttle_time_ms: i32;
        error_code: i16;
    }
}
