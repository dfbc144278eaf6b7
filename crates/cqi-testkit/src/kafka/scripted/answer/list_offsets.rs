use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::kafka::scripted::turn::{Fail, Handle, Turn};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

impl Handle for ListOffsetsRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<ListOffsetsResponse> {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|asked| find(&topic.name, asked, turn));
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        Some(ListOffsetsResponse::default().with_topics(topics.collect()))
    }
}

fn find(
    topic: &str,
    asked: &ListOffsetsPartition,
    turn: &mut Turn<'_>,
) -> ListOffsetsPartitionResponse {
    let index = asked.partition_index;
    let mut answer = ListOffsetsPartitionResponse::default().with_partition_index(index);
    let led = turn
        .state
        .led(turn.node, (topic, index), asked.current_leader_epoch);
    match led {
        Err(code) => fail(&mut answer, code),
        Ok(found) => {
            let (offset, timestamp) = match asked.timestamp {
                LATEST => (found.log.end, -1),
                EARLIEST => (found.log.start, -1),
                timestamp => found.log.since(timestamp).unwrap_or((-1, -1)),
            };
            answer.offset = offset;
            answer.timestamp = timestamp;
            answer.leader_epoch = if offset < 0 { -1 } else { found.epoch };
        }
    }
    answer
}

fn fail(partition: &mut ListOffsetsPartitionResponse, code: i16) {
    partition.error_code = code;
    partition.offset = -1;
    partition.timestamp = -1;
    partition.leader_epoch = -1;
}

impl Fail for ListOffsetsResponse {
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
