use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::kafka::scripted::group::{Phase, REBALANCE_IN_PROGRESS};
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

/// The version from which on protocols are named.
const NAMES_PROTOCOL: i16 = 5;

impl Handle for SyncGroupRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<SyncGroupResponse> {
        let assignment = match assignment(self, turn) {
            Ok(assignment) => assignment?,
            Err(code) => {
                let mut answer = SyncGroupResponse::default();
                answer.fail(code);
                return Some(answer);
            }
        };
        let mut answer = SyncGroupResponse::default().with_assignment(assignment);
        if turn.version >= NAMES_PROTOCOL {
            answer.protocol_type.clone_from(&self.protocol_type);
            answer.protocol_name.clone_from(&self.protocol_name);
        }
        Some(answer)
    }
}

/// Takes the assignments that a leader gives; returns the member's own, when it is there.
fn assignment(request: &SyncGroupRequest, turn: &mut Turn<'_>) -> Result<Option<Bytes>, i16> {
    let may_wait = turn.may_wait(Duration::MAX);
    let group = turn.state.group(turn.node, &request.group_id)?;
    let instance = request.group_instance_id.as_deref();
    group.check(
        &request.member_id,
        instance,
        request.generation_id,
        turn.now,
    )?;
    if matches!(group.phase, Phase::Joining(_)) {
        return Err(REBALANCE_IN_PROGRESS);
    }
    if group.phase == Phase::Syncing && group.leader == *request.member_id {
        for given in &request.assignments {
            if let Some(member) = group.members.get_mut(&*given.member_id) {
                member.assignment = given.assignment.clone();
            }
        }
        group.phase = Phase::Stable;
    }
    if group.phase == Phase::Syncing && may_wait {
        return Ok(None);
    }
    let member = group.members.get(&*request.member_id);
    Ok(member.map(|member| member.assignment.clone()))
}

impl Fail for SyncGroupResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.assignment = Bytes::new();
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
