//! What goes over the wire.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::sequencer::{Attempt, Ending};
use crate::wire::{ProduceAnswer, ProducePartition};

const ALL_IN_SYNC: i16 = -1;

/// Asks for a new producer id.
pub(super) fn identity() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1)
}

/// Asks to append batches.
pub(super) fn produce<'a>(
    batches: impl Iterator<Item = (&'a Attempt, Bytes)>,
    timeout: Duration,
) -> ProduceRequest {
    let mut topics: BTreeMap<&str, Vec<PartitionProduceData>> = BTreeMap::new();
    for (attempt, records) in batches {
        let data = PartitionProduceData::default()
            .with_index(attempt.partition.partition())
            .with_records(Some(records));
        topics
            .entry(attempt.partition.topic())
            .or_default()
            .push(data);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partition_data(partitions)
    });
    ProduceRequest::default()
        .with_acks(ALL_IN_SYNC)
        .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(topics.collect())
}

/// What an answer says of each attempt. One that it leaves out is lost: a broker that does so may have appended it.
pub(super) fn endings(answer: &ProduceAnswer, attempts: &[Attempt]) -> Vec<Ending> {
    let mut partitions: HashMap<(&str, i32), &ProducePartition> = HashMap::new();
    for topic in &answer.responses {
        for partition in &topic.partition_responses {
            partitions.insert((&*topic.name, partition.index), partition);
        }
    }
    let ending = |attempt: &Attempt| {
        let partition = &attempt.partition;
        let answer = partitions.get(&(&**partition.topic(), partition.partition()));
        answer.map_or(Ending::Lost, |answer| Ending::Answered {
            code: answer.error_code,
            base_offset: answer.base_offset,
            log_append_time: answer.log_append_time_ms,
        })
    };
    attempts.iter().map(ending).collect()
}
