use kafka_protocol::messages::{ApiKey, LeaveGroupRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for LeaveGroupRequest {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    const VERSIONS: Versions = Versions::new(4, 4);
    type Answer = LeaveGroupAnswer;
}

impl Answer for LeaveGroupAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct LeaveGroupAnswer {
        throttle_time_ms: i32;
        error_code: i16;
        members: Vec<LeaveGroupMember>;
    }

    struct LeaveGroupMember {
        member_id: StrBytes;
        group_instance_id: Option<StrBytes>;
        error_code: i16;
    }
}
