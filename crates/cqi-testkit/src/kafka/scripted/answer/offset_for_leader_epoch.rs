use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::kafka::scripted::turn::{Fail, Handle, Turn};

impl Handle for OffsetForLeaderEpochRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<OffsetForLeaderEpochResponse> {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|asked| find(&topic.topic, asked, turn));
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        });
        Some(OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
    }
}

fn find(topic: &str, asked: &OffsetForLeaderPartition, turn: &mut Turn<'_>) -> EpochEndOffset {
    let mut answer = EpochEndOffset::default().with_partition(asked.partition);
    let partition = (topic, asked.partition);
    match turn
        .state
        .led(turn.node, partition, asked.current_leader_epoch)
    {
        Ok(found) => {
            (answer.leader_epoch, answer.end_offset) = found.log.end_of(asked.leader_epoch);
        }
        Err(code) => fail(&mut answer, code),
    }
    answer
}

fn fail(partition: &mut EpochEndOffset, code: i16) {
    partition.error_code = code;
    partition.leader_epoch = -1;
    partition.end_offset = -1;
}

impl Fail for OffsetForLeaderEpochResponse {
    fn fail(&mut self, code: i16) {
        for topic in &mut self.topics {
            for partition in &mut topic.partitions {
                fail(partition, code);
            }
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
