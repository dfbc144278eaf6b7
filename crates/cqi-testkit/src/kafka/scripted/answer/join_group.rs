use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use crate::kafka::scripted::group::{Group, UNKNOWN_MEMBER};
use crate::kafka::scripted::state::text;
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

/// The version from which on an answer names the kind of protocol.
const NAMES_TYPE: i16 = 7;

impl Handle for JoinGroupRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<JoinGroupResponse> {
        let may_wait = turn.may_wait(Duration::MAX);
        let group = match turn.state.group(turn.node, &self.group_id) {
            Ok(group) => group,
            Err(code) => return Some(refuse(code, &self.member_id)),
        };
        let id = match turn.member.take() {
            Some(id) => {
                group.expire(turn.now);
                id
            }
            None => match group.join(self, turn.client, turn.now) {
                Ok(id) => id,
                Err((code, id)) => return Some(refuse(code, &id)),
            },
        };
        let Some(member) = group.members.get(&id) else {
            return Some(refuse(UNKNOWN_MEMBER, &id));
        };
        if member.joining && may_wait {
            *turn.member = Some(id);
            return None;
        }
        let answer = joined(group, &id);
        Some(match turn.version >= NAMES_TYPE {
            true => answer.with_protocol_type(Some(self.protocol_type.clone())),
            false => answer,
        })
    }
}

fn joined(group: &Group, id: &str) -> JoinGroupResponse {
    let members = group.members.iter().filter(|_| group.leader == id);
    let members = members.map(|(id, member)| {
        let metadata = member
            .protocols
            .iter()
            .find(|(name, _)| *name == group.protocol);
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_metadata(metadata.map_or_else(Bytes::new, |(_, metadata)| metadata.clone()))
    });
    JoinGroupResponse::default()
        .with_generation_id(group.generation)
        .with_protocol_name(Some(text(&group.protocol)))
        .with_leader(text(&group.leader))
        .with_member_id(text(id))
        .with_members(members.collect())
}

fn refuse(code: i16, id: &str) -> JoinGroupResponse {
    let mut answer = JoinGroupResponse::default().with_member_id(text(id));
    answer.fail(code);
    answer
}

impl Fail for JoinGroupResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.generation_id = -1;
        self.protocol_type = None;
        self.protocol_name = Some(StrBytes::new());
        self.leader = StrBytes::new();
        self.members.clear();
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
