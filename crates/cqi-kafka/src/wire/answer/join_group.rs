use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, JoinGroupRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    const VERSIONS: Versions = Versions::new(6, 9);
    type Answer = JoinGroupAnswer;
}

impl Answer for JoinGroupAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct JoinGroupAnswer {
        throttle_time_ms: i32;
        error_code: i16;
        generation_id: i32;
        protocol_type: Option<StrBytes>, since(7);
        /// The assignor that all members know; null with an error code.
        protocol_name: Option<StrBytes>;
        leader: StrBytes;
        /// The leader has nothing to decide.
        skip_assignment: bool, since(9);
        member_id: StrBytes;
        /// All members, for the leader only.
        members: Vec<JoinGroupMember>;
    }

    struct JoinGroupMember {
        member_id: StrBytes;
        group_instance_id: Option<StrBytes>;
        /// An encoded `Subscription`.
        metadata: Bytes;
    }
}
