use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::kafka::scripted::api::Api;
use crate::kafka::scripted::state::State;
use crate::kafka::scripted::turn::{Asked, Fail, Handle, Turn, World};

pub(in crate::kafka::scripted) const UNSUPPORTED_VERSION: i16 = 35;

impl Handle for ApiVersionsRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<ApiVersionsResponse> {
        Some(ApiVersionsResponse::default().with_api_keys(versions(turn.state)))
    }
}

fn versions(state: &State) -> Vec<ApiVersion> {
    let known = state.versions.iter().filter(|(_, (min, max))| min <= max);
    known
        .map(|(api, (min, max))| {
            ApiVersion::default()
                .with_api_key(api.key())
                .with_min_version(*min)
                .with_max_version(*max)
        })
        .collect()
}

/// Answers a request in a version that the broker does not have: only this API's own is answered.
pub(super) fn refuse(asked: &Asked, world: &World) -> Option<Bytes> {
    if asked.api != Api::ApiVersions {
        return None;
    }
    let answer = ApiVersionsResponse::default()
        .with_error_code(UNSUPPORTED_VERSION)
        .with_api_keys(world.look(versions));
    asked.encode(&answer, 0)
}

impl Fail for ApiVersionsResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        if code != UNSUPPORTED_VERSION {
            self.api_keys.clear();
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
