use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::kafka::scripted::group::{Phase, REBALANCE_IN_PROGRESS};
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

impl Handle for HeartbeatRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<HeartbeatResponse> {
        let code = check(self, turn).err().unwrap_or_default();
        Some(HeartbeatResponse::default().with_error_code(code))
    }
}

fn check(request: &HeartbeatRequest, turn: &mut Turn<'_>) -> Result<(), i16> {
    let group = turn.state.group(turn.node, &request.group_id)?;
    let instance = request.group_instance_id.as_deref();
    group.check(
        &request.member_id,
        instance,
        request.generation_id,
        turn.now,
    )?;
    match group.phase {
        Phase::Joining(_) => Err(REBALANCE_IN_PROGRESS),
        _ => Ok(()),
    }
}

impl Fail for HeartbeatResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
