use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use crate::kafka::scripted::log::INVALID_RECORD;
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

impl Handle for ProduceRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<ProduceResponse> {
        let topics = self.topic_data.iter().map(|topic| {
            let partitions = topic.partition_data.iter();
            let partitions = partitions.map(|asked| append(&topic.name, asked, turn));
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_partition_responses(partitions.collect())
        });
        Some(ProduceResponse::default().with_responses(topics.collect()))
    }
}

fn append(
    topic: &str,
    asked: &PartitionProduceData,
    turn: &mut Turn<'_>,
) -> PartitionProduceResponse {
    let mut answer = PartitionProduceResponse::default()
        .with_index(asked.index)
        .with_log_append_time_ms(-1);
    let led = turn.state.led(turn.node, (topic, asked.index), -1);
    let appended = led.and_then(|partition| {
        // One batch a partition is all that a broker takes.
        let batch = asked.records.as_deref().ok_or(INVALID_RECORD)?;
        let offset = partition.log.append(batch, partition.epoch)?;
        Ok((offset, partition.log.start))
    });
    match appended {
        Ok((offset, start)) => {
            answer.base_offset = offset;
            answer.log_start_offset = start;
        }
        Err(code) => fail(&mut answer, code),
    }
    answer
}

fn fail(partition: &mut PartitionProduceResponse, code: i16) {
    partition.error_code = code;
    partition.base_offset = -1;
    partition.log_start_offset = -1;
}

impl Fail for ProduceResponse {
    fn fail(&mut self, code: i16) {
        for topic in &mut self.responses {
            for partition in &mut topic.partition_responses {
                fail(partition, code);
            }
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
