use kafka_protocol::messages::{ApiKey, FindCoordinatorRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for FindCoordinatorRequest {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    const VERSIONS: Versions = Versions::new(3, 3);
    type Answer = FindCoordinatorAnswer;
}

impl Answer for FindCoordinatorAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct FindCoordinatorAnswer {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: Option<StrBytes>;
        /// -1 with an error code.
        node_id: i32;
        host: StrBytes;
        port: i32;
    }
}
