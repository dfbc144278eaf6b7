use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::kafka::scripted::turn::{Fail, Handle, Turn};

impl Handle for LeaveGroupRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<LeaveGroupResponse> {
        let group = match turn.state.group(turn.node, &self.group_id) {
            Ok(group) => group,
            Err(code) => return Some(LeaveGroupResponse::default().with_error_code(code)),
        };
        let members = self.members.iter().map(|member| {
            let instance = member.group_instance_id.as_deref();
            let left = group.leave(&member.member_id, instance, turn.now);
            MemberResponse::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_error_code(left.err().unwrap_or_default())
        });
        Some(LeaveGroupResponse::default().with_members(members.collect()))
    }
}

impl Fail for LeaveGroupResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.members.clear();
    }

    fn fail_items(&mut self, code: i16) {
        for member in &mut self.members {
            member.error_code = code;
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
