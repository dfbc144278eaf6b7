use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: Versions = Versions::new(3, 3);
    type Answer = ApiVersionsAnswer;
}

impl Answer for ApiVersionsAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct ApiVersionsAnswer {
        error_code: i16;
        api_keys: Vec<ApiVersion>;
        throttle_time_ms: i32, since(1);
    }

    struct ApiVersion {
        api_key: i16;
        min_version: i16;
        max_version: i16;
    }
}
