use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use crate::kafka::scripted::turn::{Fail, Handle, Turn};

const COORDINATOR_NOT_AVAILABLE: i16 = 15;

impl Handle for FindCoordinatorRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<FindCoordinatorResponse> {
        let node = turn.state.coordinator;
        let mut answer = FindCoordinatorResponse::default();
        match turn.state.nodes.get(&node) {
            Some(port) => {
                answer.node_id = BrokerId(node);
                answer.host = StrBytes::from_static_str("127.0.0.1");
                answer.port = (*port).into();
            }
            None => answer.fail(COORDINATOR_NOT_AVAILABLE),
        }
        Some(answer)
    }
}

impl Fail for FindCoordinatorResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.node_id = BrokerId(-1);
        self.host = StrBytes::new();
        self.port = -1;
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
