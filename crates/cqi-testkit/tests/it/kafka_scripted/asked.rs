//! One request of each API, about topic `orders` and group `desk`.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn orders() -> TopicName {
    TopicName(text("orders"))
}

fn desk() -> GroupId {
    GroupId(text("desk"))
}

pub(super) fn metadata() -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(orders()));
    MetadataRequest::default().with_topics(Some(vec![topic]))
}

pub(super) fn coordinator() -> FindCoordinatorRequest {
    FindCoordinatorRequest::default().with_key(text("desk"))
}

pub(super) fn join(member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"subscription"));
    JoinGroupRequest::default()
        .with_group_id(desk())
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

pub(super) fn sync(member: &str, generation: i32, given: &[(&str, &str)]) -> SyncGroupRequest {
    let assignments = given.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
    });
    SyncGroupRequest::default()
        .with_group_id(desk())
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_assignments(assignments.collect())
}

pub(super) fn heartbeat(member: &str, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(desk())
        .with_generation_id(generation)
        .with_member_id(text(member))
}

pub(super) fn leave(member: &str) -> LeaveGroupRequest {
    let member = MemberIdentity::default().with_member_id(text(member));
    LeaveGroupRequest::default()
        .with_group_id(desk())
        .with_members(vec![member])
}

pub(super) fn commit(member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(orders())
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(desk())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(vec![topic])
}

pub(super) fn committed() -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(orders())
        .with_partition_indexes(vec![0]);
    OffsetFetchRequest::default()
        .with_group_id(desk())
        .with_topics(Some(vec![topic]))
}

pub(super) fn offsets(timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(orders())
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_topics(vec![topic])
}

pub(super) fn fetch(offset: i64, wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(orders())
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

pub(super) fn produce(batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(orders())
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_topic_data(vec![topic])
}

pub(super) fn producer() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
}

pub(super) fn epoch_end(epoch: i32) -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition::default()
        .with_current_leader_epoch(-1)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(orders())
        .with_partitions(vec![partition]);
    OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
}

pub(super) fn plain() -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(text("PLAIN"))
}

pub(super) fn password(password: &str) -> SaslAuthenticateRequest {
    let bytes = format!("\0bob\0{password}").into_bytes();
    SaslAuthenticateRequest::default().with_auth_bytes(bytes.into())
}

/// Makes a batch of so many records, with a sequence, or with -1 of nobody's.
pub(super) fn batch(count: i32, sequence: i32) -> Bytes {
    let record = |number: i32| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: if sequence < 0 { -1 } else { 1 },
        producer_epoch: if sequence < 0 { -1 } else { 0 },
        timestamp_type: TimestampType::Creation,
        offset: number.into(),
        sequence: sequence + number,
        timestamp: 1_000 + i64::from(number),
        key: None,
        value: Some(Bytes::from(format!("value {number}"))),
        headers: Default::default(),
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, &records, &options).unwrap();
    batch.freeze()
}
