use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, SyncGroupRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for SyncGroupRequest {
    const KEY: ApiKey = ApiKey::SyncGroup;
    const VERSIONS: Versions = Versions::new(4, 5);
    type Answer = SyncGroupAnswer;
}

impl Answer for SyncGroupAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct SyncGroupAnswer {
        throttle_time_ms: i32;
        error_code: i16;
        protocol_type: Option<StrBytes>, since(5);
        protocol_name: Option<StrBytes>, since(5);
        /// An encoded `Assignment`.
        assignment: Bytes;
    }
}
