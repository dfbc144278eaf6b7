use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::kafka::scripted::state::{Topic, UNKNOWN_TOPIC_OR_PARTITION, name};
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

const LEADER_NOT_AVAILABLE: i16 = 5;

/// The version from which on a topic has an id.
const HAS_IDS: i16 = 10;

impl Handle for MetadataRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<MetadataResponse> {
        let brokers = turn.state.nodes.iter().map(|(node, port)| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(*node))
                .with_host(StrBytes::from_static_str("127.0.0.1"))
                .with_port((*port).into())
        });
        let known = &turn.state.topics;
        let has_ids = turn.version >= HAS_IDS;
        let topics = match &self.topics {
            None => known
                .iter()
                .map(|(name, all)| topic(name, Some(all), has_ids))
                .collect(),
            Some(asked) => {
                let names = asked.iter().filter_map(|topic| topic.name.as_deref());
                names
                    .map(|name| topic(name, known.get(&**name), has_ids))
                    .collect()
            }
        };
        let first = turn.state.nodes.keys().next().copied();
        let answer = MetadataResponse::default()
            .with_brokers(brokers.collect())
            .with_cluster_id(Some(StrBytes::from_static_str("scripted")))
            .with_controller_id(BrokerId(first.unwrap_or(-1)))
            .with_topics(topics);
        Some(answer)
    }
}

fn topic(topic: &str, known: Option<&Topic>, has_id: bool) -> MetadataResponseTopic {
    let answer = MetadataResponseTopic::default().with_name(Some(name(topic)));
    let Some(known) = known else {
        return answer.with_error_code(UNKNOWN_TOPIC_OR_PARTITION);
    };
    let partitions = (0..).zip(&known.partitions).map(|(index, partition)| {
        let replicas = vec![BrokerId(partition.leader.unwrap_or(1))];
        MetadataResponsePartition::default()
            .with_error_code(match partition.leader {
                Some(_) => 0,
                None => LEADER_NOT_AVAILABLE,
            })
            .with_partition_index(index)
            .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
            .with_leader_epoch(partition.epoch)
            .with_replica_nodes(replicas.clone())
            .with_isr_nodes(replicas)
    });
    let answer = answer.with_partitions(partitions.collect());
    match has_id {
        true => answer.with_topic_id(Uuid::from_u128(known.id)),
        false => answer,
    }
}

impl Fail for MetadataResponse {
    fn fail(&mut self, code: i16) {
        for topic in &mut self.topics {
            topic.error_code = code;
            topic.partitions.clear();
        }
    }

    fn fail_items(&mut self, code: i16) {
        for topic in &mut self.topics {
            for partition in &mut topic.partitions {
                partition.error_code = code;
                partition.leader_id = BrokerId(-1);
            }
        }
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
