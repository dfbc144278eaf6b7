use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};

use crate::kafka::scripted::group::Group;
use crate::kafka::scripted::state::{name, text};
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

impl Handle for OffsetFetchRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<OffsetFetchResponse> {
        let group = match turn.state.group(turn.node, &self.group_id) {
            Ok(group) => group,
            Err(code) => return Some(OffsetFetchResponse::default().with_error_code(code)),
        };
        let asked: Vec<(TopicName, Vec<i32>)> = match &self.topics {
            Some(topics) => {
                let topics = topics.iter();
                topics
                    .map(|it| (it.name.clone(), it.partition_indexes.clone()))
                    .collect()
            }
            None => {
                let all = group.offsets.keys();
                all.map(|(topic, partition)| (name(topic), vec![*partition]))
                    .collect()
            }
        };
        let topics = asked.into_iter().map(|(topic, partitions)| {
            let partitions = partitions
                .into_iter()
                .map(|it| partition(group, &topic, it));
            OffsetFetchResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.clone())
        });
        Some(OffsetFetchResponse::default().with_topics(topics.collect()))
    }
}

fn partition(group: &Group, topic: &str, partition: i32) -> OffsetFetchResponsePartition {
    let committed = group.offsets.get(&(topic.to_owned(), partition));
    let metadata = committed.map_or("", |committed| &committed.metadata);
    OffsetFetchResponsePartition::default()
        .with_partition_index(partition)
        .with_committed_offset(committed.map_or(-1, |committed| committed.offset))
        .with_committed_leader_epoch(committed.map_or(-1, |committed| committed.epoch))
        .with_metadata(Some(text(metadata)))
}

impl Fail for OffsetFetchResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.topics.clear();
    }

    fn fail_items(&mut self, code: i16) {
        for topic in &mut self.topics {
            for partition in &mut topic.partitions {
                partition.error_code = code;
                partition.committed_offset = -1;
                partition.committed_leader_epoch = -1;
            }
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
