use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use crate::kafka::scripted::group::{
    Committed, Group, Phase, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER,
};
use crate::kafka::scripted::state::UNKNOWN_TOPIC_OR_PARTITION;
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

impl Handle for OffsetCommitRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<OffsetCommitResponse> {
        let now = turn.now;
        let known = turn.state.topics.clone();
        let group = turn.state.group(turn.node, &self.group_id);
        let mut group = group.and_then(|group| {
            allow(self, group, now)?;
            Ok(group)
        });
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let count = known
                    .get(&**topic.name)
                    .map_or(0, |known| known.partitions.len());
                let exists = usize::try_from(asked.partition_index).is_ok_and(|it| it < count);
                let code = match &mut group {
                    Err(code) => *code,
                    Ok(_) if !exists => UNKNOWN_TOPIC_OR_PARTITION,
                    Ok(group) => {
                        let metadata = asked.committed_metadata.as_deref().unwrap_or_default();
                        let committed = Committed {
                            offset: asked.committed_offset,
                            epoch: asked.committed_leader_epoch,
                            metadata: metadata.to_owned(),
                        };
                        let key = (topic.name.to_string(), asked.partition_index);
                        group.offsets.insert(key, committed);
                        0
                    }
                };
                OffsetCommitResponsePartition::default()
                    .with_partition_index(asked.partition_index)
                    .with_error_code(code)
            });
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        Some(OffsetCommitResponse::default().with_topics(topics.collect()))
    }
}

fn allow(
    request: &OffsetCommitRequest,
    group: &mut Group,
    now: tokio::time::Instant,
) -> Result<(), i16> {
    let generation = request.generation_id_or_member_epoch;
    if generation < 0 && request.member_id.is_empty() {
        // From outside of the group, which must have no members.
        group.expire(now);
        return match group.members.is_empty() {
            true => Ok(()),
            false => Err(UNKNOWN_MEMBER),
        };
    }
    let instance = request.group_instance_id.as_deref();
    group.check(&request.member_id, instance, generation, now)?;
    match group.phase {
        Phase::Syncing => Err(REBALANCE_IN_PROGRESS),
        _ => Ok(()),
    }
}

impl Fail for OffsetCommitResponse {
    fn fail(&mut self, code: i16) {
        for topic in &mut self.topics {
            for partition in &mut topic.partitions {
                partition.error_code = code;
            }
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
