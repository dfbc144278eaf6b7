//! Our answers as those of kafka-protocol, with tagged fields on top that nobody knows.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use super::Draw;
use crate::wire::Api;

pub(super) trait Respond: Api<Answer: Draw + PartialEq + std::fmt::Debug> {
    type Response: Encodable + HeaderVersion;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response;
}

fn tags(rng: &mut Rng) -> BTreeMap<i32, Bytes> {
    let count = rng.usize(..3) / 2 * rng.usize(..3);
    (0..count)
        .map(|_| (rng.i32(1000..100_000), Bytes::draw(rng, 0)))
        .collect()
}

/// A structure of kafka-protocol with these fields.
macro_rules! build {
    ($rng:ident, $type:ty { $($set:ident: $value:expr),* $(,)? }) => {
        <$type>::default()$(.$set($value))*.with_unknown_tagged_fields(tags($rng))
    };
}

impl Respond for ApiVersionsRequest {
    type Response = ApiVersionsResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            ApiVersionsResponse {
                with_error_code: answer.error_code,
                with_throttle_time_ms: answer.throttle_time_ms,
                with_api_keys: answer
                    .api_keys
                    .iter()
                    .map(|key| {
                        build!(
                            rng,
                            api_versions_response::ApiVersion {
                                with_api_key: key.api_key,
                                with_min_version: key.min_version,
                                with_max_version: key.max_version,
                            }
                        )
                    })
                    .collect(),
            }
        )
    }
}

impl Respond for MetadataRequest {
    type Response = MetadataResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        use metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        };
        let nodes = |nodes: &[i32]| nodes.iter().copied().map(BrokerId).collect::<Vec<_>>();
        build!(
            rng,
            MetadataResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_brokers: answer
                    .brokers
                    .iter()
                    .map(|broker| {
                        build!(
                            rng,
                            MetadataResponseBroker {
                                with_node_id: broker.node_id.into(),
                                with_host: broker.host.clone(),
                                with_port: broker.port,
                                with_rack: broker.rack.clone(),
                            }
                        )
                    })
                    .collect(),
                with_cluster_id: answer.cluster_id.clone(),
                with_controller_id: answer.controller_id.into(),
                with_topics: answer
                    .topics
                    .iter()
                    .map(|topic| {
                        build!(
                            rng,
                            MetadataResponseTopic {
                                with_error_code: topic.error_code,
                                with_name: Some(topic.name.clone().into()),
                                with_topic_id: format!(
                                    "{:032x}",
                                    u128::from_be_bytes(topic.topic_id)
                                )
                                .parse()
                                .unwrap(),
                                with_is_internal: topic.is_internal,
                                with_partitions: topic
                                    .partitions
                                    .iter()
                                    .map(|partition| {
                                        build!(
                                            rng,
                                            MetadataResponsePartition {
                                                with_error_code: partition.error_code,
                                                with_partition_index: partition.partition_index,
                                                with_leader_id: partition.leader_id.into(),
                                                with_leader_epoch: partition.leader_epoch,
                                                with_replica_nodes: nodes(&partition.replica_nodes),
                                                with_isr_nodes: nodes(&partition.isr_nodes),
                                                with_offline_replicas: nodes(
                                                    &partition.offline_replicas
                                                ),
                                            }
                                        )
                                    })
                                    .collect(),
                                with_topic_authorized_operations: topic.topic_authorized_operations,
                            }
                        )
                    })
                    .collect(),
                with_cluster_authorized_operations: answer.cluster_authorized_operations,
            }
        )
    }
}

impl Respond for FindCoordinatorRequest {
    type Response = FindCoordinatorResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            FindCoordinatorResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_error_code: answer.error_code,
                with_error_message: answer.error_message.clone(),
                with_node_id: answer.node_id.into(),
                with_host: answer.host.clone(),
                with_port: answer.port,
            }
        )
    }
}

impl Respond for JoinGroupRequest {
    type Response = JoinGroupResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            JoinGroupResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_error_code: answer.error_code,
                with_generation_id: answer.generation_id,
                with_protocol_type: answer.protocol_type.clone(),
                with_protocol_name: answer.protocol_name.clone(),
                with_leader: answer.leader.clone(),
                with_skip_assignment: answer.skip_assignment,
                with_member_id: answer.member_id.clone(),
                with_members: answer
                    .members
                    .iter()
                    .map(|member| {
                        build!(
                            rng,
                            join_group_response::JoinGroupResponseMember {
                                with_member_id: member.member_id.clone(),
                                with_group_instance_id: member.group_instance_id.clone(),
                                with_metadata: member.metadata.clone(),
                            }
                        )
                    })
                    .collect(),
            }
        )
    }
}

impl Respond for SyncGroupRequest {
    type Response = SyncGroupResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            SyncGroupResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_error_code: answer.error_code,
                with_protocol_type: answer.protocol_type.clone(),
                with_protocol_name: answer.protocol_name.clone(),
                with_assignment: answer.assignment.clone(),
            }
        )
    }
}

impl Respond for HeartbeatRequest {
    type Response = HeartbeatResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            HeartbeatResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_error_code: answer.error_code,
            }
        )
    }
}

impl Respond for LeaveGroupRequest {
    type Response = LeaveGroupResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            LeaveGroupResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_error_code: answer.error_code,
                with_members: answer
                    .members
                    .iter()
                    .map(|member| {
                        build!(
                            rng,
                            leave_group_response::MemberResponse {
                                with_member_id: member.member_id.clone(),
                                with_group_instance_id: member.group_instance_id.clone(),
                                with_error_code: member.error_code,
                            }
                        )
                    })
                    .collect(),
            }
        )
    }
}

impl Respond for OffsetCommitRequest {
    type Response = OffsetCommitResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        use offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
        build!(
            rng,
            OffsetCommitResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_topics: answer
                    .topics
                    .iter()
                    .map(|topic| {
                        build!(
                            rng,
                            OffsetCommitResponseTopic {
                                with_name: topic.name.clone().into(),
                                with_partitions: topic
                                    .partitions
                                    .iter()
                                    .map(|partition| {
                                        build!(
                                            rng,
                                            OffsetCommitResponsePartition {
                                                with_partition_index: partition.partition_index,
                                                with_error_code: partition.error_code,
                                            }
                                        )
                                    })
                                    .collect(),
                            }
                        )
                    })
                    .collect(),
            }
        )
    }
}

impl Respond for OffsetFetchRequest {
    type Response = OffsetFetchResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        use offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
        build!(
            rng,
            OffsetFetchResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_topics: answer
                    .topics
                    .iter()
                    .map(|topic| {
                        build!(
                            rng,
                            OffsetFetchResponseTopic {
                                with_name: topic.name.clone().into(),
                                with_partitions: topic
                                    .partitions
                                    .iter()
                                    .map(|partition| {
                                        build!(
                                            rng,
                                            OffsetFetchResponsePartition {
                                                with_partition_index: partition.partition_index,
                                                with_committed_offset: partition.committed_offset,
                                                with_committed_leader_epoch: partition
                                                    .committed_leader_epoch,
                                                with_metadata: partition.metadata.clone(),
                                                with_error_code: partition.error_code,
                                            }
                                        )
                                    })
                                    .collect(),
                            }
                        )
                    })
                    .collect(),
                with_error_code: answer.error_code,
            }
        )
    }
}

impl Respond for ListOffsetsRequest {
    type Response = ListOffsetsResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        use list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
        build!(
            rng,
            ListOffsetsResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_topics: answer
                    .topics
                    .iter()
                    .map(|topic| {
                        build!(
                            rng,
                            ListOffsetsTopicResponse {
                                with_name: topic.name.clone().into(),
                                with_partitions: topic
                                    .partitions
                                    .iter()
                                    .map(|partition| {
                                        build!(
                                            rng,
                                            ListOffsetsPartitionResponse {
                                                with_partition_index: partition.partition_index,
                                                with_error_code: partition.error_code,
                                                with_timestamp: partition.timestamp,
                                                with_offset: partition.offset,
                                                with_leader_epoch: partition.leader_epoch,
                                            }
                                        )
                                    })
                                    .collect(),
                            }
                        )
                    })
                    .collect(),
            }
        )
    }
}

impl Respond for FetchRequest {
    type Response = FetchResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        use fetch_response::{
            AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch,
            PartitionData,
        };
        build!(
            rng,
            FetchResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_error_code: answer.error_code,
                with_session_id: answer.session_id,
                with_responses: answer
                    .responses
                    .iter()
                    .map(|topic| {
                        build!(
                            rng,
                            FetchableTopicResponse {
                                with_topic: topic.topic.clone().into(),
                                with_partitions: topic
                                    .partitions
                                    .iter()
                                    .map(|partition| {
                                        let aborted: Vec<_> = partition
                                            .aborted_transactions
                                            .iter()
                                            .map(|aborted| {
                                                build!(
                                                    rng,
                                                    AbortedTransaction {
                                                        with_producer_id: aborted
                                                            .producer_id
                                                            .into(),
                                                        with_first_offset: aborted.first_offset,
                                                    }
                                                )
                                            })
                                            .collect();
                                        let null = aborted.is_empty() && rng.bool();
                                        let mut data = build!(
                                            rng,
                                            PartitionData {
                                                with_partition_index: partition.partition_index,
                                                with_error_code: partition.error_code,
                                                with_high_watermark: partition.high_watermark,
                                                with_last_stable_offset: partition
                                                    .last_stable_offset,
                                                with_log_start_offset: partition.log_start_offset,
                                                with_aborted_transactions: (!null)
                                                    .then_some(aborted),
                                                with_preferred_read_replica: partition
                                                    .preferred_read_replica
                                                    .into(),
                                                with_records: partition.records.clone(),
                                            }
                                        );
                                        if let Some(diverging) = &partition.diverging_epoch {
                                            data.diverging_epoch = build!(
                                                rng,
                                                EpochEndOffset {
                                                    with_epoch: diverging.epoch,
                                                    with_end_offset: diverging.end_offset,
                                                }
                                            );
                                        }
                                        if let Some(leader) = &partition.current_leader {
                                            data.current_leader = build!(
                                                rng,
                                                LeaderIdAndEpoch {
                                                    with_leader_id: leader.leader_id.into(),
                                                    with_leader_epoch: leader.leader_epoch,
                                                }
                                            );
                                        }
                                        data
                                    })
                                    .collect(),
                            }
                        )
                    })
                    .collect(),
            }
        )
    }
}

impl Respond for ProduceRequest {
    type Response = ProduceResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        use produce_response::{
            BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
        };
        build!(
            rng,
            ProduceResponse {
                with_responses: answer
                    .responses
                    .iter()
                    .map(|topic| {
                        build!(
                            rng,
                            TopicProduceResponse {
                                with_name: topic.name.clone().into(),
                                with_partition_responses: topic
                                    .partition_responses
                                    .iter()
                                    .map(|partition| {
                                        build!(
                                            rng,
                                            PartitionProduceResponse {
                                                with_index: partition.index,
                                                with_error_code: partition.error_code,
                                                with_base_offset: partition.base_offset,
                                                with_log_append_time_ms: partition
                                                    .log_append_time_ms,
                                                with_log_start_offset: partition.log_start_offset,
                                                with_record_errors: partition
                                                    .record_errors
                                                    .iter()
                                                    .map(|error| {
                                                        build!(
                                                            rng,
                                                            BatchIndexAndErrorMessage {
                                                                with_batch_index: error.batch_index,
                                                                with_batch_index_error_message:
                                                                    error
                                                                        .batch_index_error_message
                                                                        .clone(),
                                                            }
                                                        )
                                                    })
                                                    .collect(),
                                                with_error_message: partition.error_message.clone(),
                                            }
                                        )
                                    })
                                    .collect(),
                            }
                        )
                    })
                    .collect(),
                with_throttle_time_ms: answer.throttle_time_ms,
            }
        )
    }
}

impl Respond for InitProducerIdRequest {
    type Response = InitProducerIdResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            InitProducerIdResponse {
                with_throttle_time_ms: answer.throttle_time_ms,
                with_error_code: answer.error_code,
                with_producer_id: answer.producer_id.into(),
                with_producer_epoch: answer.producer_epoch,
            }
        )
    }
}

impl Respond for SaslHandshakeRequest {
    type Response = SaslHandshakeResponse;

    fn respond(answer: &Self::Answer, _: &mut Rng) -> Self::Response {
        SaslHandshakeResponse::default()
            .with_error_code(answer.error_code)
            .with_mechanisms(answer.mechanisms.clone())
    }
}

impl Respond for SaslAuthenticateRequest {
    type Response = SaslAuthenticateResponse;

    fn respond(answer: &Self::Answer, rng: &mut Rng) -> Self::Response {
        build!(
            rng,
            SaslAuthenticateResponse {
                with_error_code: answer.error_code,
                with_error_message: answer.error_message.clone(),
                with_auth_bytes: answer.auth_bytes.clone(),
                with_session_lifetime_ms: answer.session_lifetime_ms,
            }
        )
    }
}
