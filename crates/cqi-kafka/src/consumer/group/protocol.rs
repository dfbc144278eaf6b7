//! The membership's requests and responses as those of the Kafka protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::Result;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::TopicPartition;
use crate::client::{Client, Link};
use crate::membership::{JoinedMember, Offset, Request, Response};
use crate::wire::{Api, JoinGroupAnswer, OffsetCommitAnswer, OffsetFetchAnswer};

const CONSUMER: &str = "consumer";
/// `UNKNOWN_SERVER_ERROR`: for what an answer leaves out.
const NOT_MENTIONED: i16 = -1;

/// Who is asked.
#[derive(Debug)]
pub(super) enum Peer {
    Any(Client),
    Coordinator(Arc<Link>),
}

impl Peer {
    /// Sends the request and waits for its answer, at most for the timeout.
    pub(super) async fn ask(
        &self,
        group: &str,
        request: Request,
        timeout: Duration,
    ) -> Result<Response> {
        Ok(match request {
            Request::FindCoordinator { .. } => {
                let answer = self.send(&find_coordinator(group), timeout).await?;
                Response::FindCoordinator {
                    code: answer.error_code,
                    node: answer.node_id,
                }
            }
            Request::JoinGroup { .. } => {
                joined(self.send(&join_group(group, request), timeout).await?)
            }
            Request::SyncGroup { .. } => {
                let answer = self.send(&sync_group(group, request), timeout).await?;
                Response::SyncGroup {
                    code: answer.error_code,
                    assignment: answer.assignment,
                }
            }
            Request::Heartbeat {
                generation,
                member_id,
                instance_id,
            } => {
                let heartbeat = HeartbeatRequest::default()
                    .with_group_id(group_id(group))
                    .with_generation_id(generation)
                    .with_member_id(text(&member_id))
                    .with_group_instance_id(instance_id.as_deref().map(text));
                let answer = self.send(&heartbeat, timeout).await?;
                Response::Heartbeat {
                    code: answer.error_code,
                }
            }
            Request::LeaveGroup { member_id } => {
                let member = MemberIdentity::default().with_member_id(text(&member_id));
                let leave = LeaveGroupRequest::default()
                    .with_group_id(group_id(group))
                    .with_members(vec![member]);
                let answer = self.send(&leave, timeout).await?;
                Response::LeaveGroup {
                    code: answer.error_code,
                }
            }
            Request::OffsetCommit {
                generation,
                member_id,
                instance_id,
                offsets,
            } => {
                let commit = OffsetCommitRequest::default()
                    .with_group_id(group_id(group))
                    .with_generation_id_or_member_epoch(generation)
                    .with_member_id(text(&member_id))
                    .with_group_instance_id(instance_id.as_deref().map(text))
                    .with_topics(committed_topics(&offsets));
                committed(&offsets, &self.send(&commit, timeout).await?)
            }
            Request::OffsetFetch { partitions } => {
                let fetch = offset_fetch(group, &partitions);
                let answer = self.send(&fetch, timeout).await?;
                Response::OffsetFetch {
                    code: answer.error_code,
                    offsets: fetched(answer),
                }
            }
        })
    }

    async fn send<R: Api>(&self, request: &R, timeout: Duration) -> Result<R::Answer> {
        match self {
            Self::Any(client) => client.ask(request, timeout).await,
            Self::Coordinator(link) => link.send(request, timeout).await,
        }
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

pub(super) fn find_coordinator(group: &str) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default().with_key(text(group))
}

fn join_group(group: &str, request: Request) -> JoinGroupRequest {
    let mut join = JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_protocol_type(StrBytes::from_static_str(CONSUMER));
    if let Request::JoinGroup {
        member_id,
        instance_id,
        session_timeout,
        rebalance_timeout,
        protocols,
    } = request
    {
        join.session_timeout_ms = millis(session_timeout);
        join.rebalance_timeout_ms = millis(rebalance_timeout);
        join.member_id = text(&member_id);
        join.group_instance_id = instance_id.as_deref().map(text);
        let protocols = protocols.into_iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(name))
                .with_metadata(metadata)
        });
        join.protocols = protocols.collect();
    }
    join
}

fn sync_group(group: &str, request: Request) -> SyncGroupRequest {
    let mut sync = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)));
    if let Request::SyncGroup {
        generation,
        member_id,
        instance_id,
        protocol,
        assignments,
    } = request
    {
        sync.generation_id = generation;
        sync.member_id = text(&member_id);
        sync.group_instance_id = instance_id.as_deref().map(text);
        sync.protocol_name = Some(text(&protocol));
        let assignments = assignments.into_iter().map(|(member, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(&member))
                .with_assignment(assignment)
        });
        sync.assignments = assignments.collect();
    }
    sync
}

fn joined(answer: JoinGroupAnswer) -> Response {
    let members = answer.members.into_iter().map(|member| JoinedMember {
        member_id: member.member_id.as_str().into(),
        instance_id: member.group_instance_id.map(|id| id.as_str().into()),
        metadata: member.metadata,
    });
    Response::JoinGroup {
        code: answer.error_code,
        generation: answer.generation_id,
        protocol: answer.protocol_name.unwrap_or_default().as_str().into(),
        leader: answer.leader.as_str().into(),
        member_id: answer.member_id.as_str().into(),
        skip_assignment: answer.skip_assignment,
        members: members.collect(),
    }
}

fn committed_topics(offsets: &BTreeMap<TopicPartition, Offset>) -> Vec<OffsetCommitRequestTopic> {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, offset) in offsets {
        let entry = OffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition())
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch.unwrap_or(-1))
            .with_committed_metadata(Some(text(&offset.metadata)));
        match topics.last_mut() {
            Some(topic) if topic.name.as_str() == &**partition.topic() => {
                topic.partitions.push(entry);
            }
            _ => topics.push(
                OffsetCommitRequestTopic::default()
                    .with_name(TopicName(text(partition.topic())))
                    .with_partitions(vec![entry]),
            ),
        }
    }
    topics
}

/// What an answer does not mention is not committed.
fn committed(offsets: &BTreeMap<TopicPartition, Offset>, answer: &OffsetCommitAnswer) -> Response {
    let mut codes: BTreeMap<_, _> = offsets
        .keys()
        .map(|partition| (partition.clone(), NOT_MENTIONED))
        .collect();
    for topic in &answer.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for partition in &topic.partitions {
            let key = TopicPartition::new(Arc::clone(&name), partition.partition_index);
            if let Some(code) = codes.get_mut(&key) {
                *code = partition.error_code;
            }
        }
    }
    Response::OffsetCommit {
        codes: codes.into_iter().collect(),
    }
}

pub(super) fn offset_fetch(
    group: &str,
    partitions: &BTreeSet<TopicPartition>,
) -> OffsetFetchRequest {
    OffsetFetchRequest::default()
        .with_group_id(group_id(group))
        .with_topics(Some(fetched_topics(partitions)))
        .with_require_stable(true)
}

fn fetched_topics(partitions: &BTreeSet<TopicPartition>) -> Vec<OffsetFetchRequestTopic> {
    let mut topics: Vec<OffsetFetchRequestTopic> = Vec::new();
    for partition in partitions {
        match topics.last_mut() {
            Some(topic) if topic.name.as_str() == &**partition.topic() => {
                topic.partition_indexes.push(partition.partition());
            }
            _ => topics.push(
                OffsetFetchRequestTopic::default()
                    .with_name(TopicName(text(partition.topic())))
                    .with_partition_indexes(vec![partition.partition()]),
            ),
        }
    }
    topics
}

/// The code and the committed offset of each partition.
pub(super) fn fetched(answer: OffsetFetchAnswer) -> Vec<(TopicPartition, i16, Option<Offset>)> {
    let mut offsets = Vec::new();
    for topic in answer.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for partition in topic.partitions {
            let offset = (partition.committed_offset >= 0).then(|| Offset {
                offset: partition.committed_offset,
                leader_epoch: Some(partition.committed_leader_epoch).filter(|epoch| *epoch >= 0),
                metadata: partition.metadata.unwrap_or_default().as_str().into(),
            });
            offsets.push((
                TopicPartition::new(Arc::clone(&name), partition.partition_index),
                partition.error_code,
                offset,
            ));
        }
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        OffsetCommitPartition, OffsetCommitTopic, OffsetFetchPartition, OffsetFetchTopic,
    };

    fn offset(offset: i64, leader_epoch: Option<i32>) -> Offset {
        Offset {
            offset,
            leader_epoch,
            metadata: "m".into(),
        }
    }

    fn partitions() -> [TopicPartition; 3] {
        [("a", 1), ("a", 2), ("b", 0)].map(|(topic, n)| TopicPartition::new(topic, n))
    }

    #[test]
    fn offsets_are_committed_topic_by_topic() {
        let offsets = partitions().map(|partition| (partition, offset(7, None)));
        let mut offsets = BTreeMap::from(offsets);
        offsets.insert(TopicPartition::new("b", 0), offset(9, Some(3)));
        let topics = committed_topics(&offsets);
        let names: Vec<_> = topics.iter().map(|topic| topic.name.to_string()).collect();
        assert_eq!(names, ["a", "b"]);
        let numbers = topics[0].partitions.iter().map(|p| p.partition_index);
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
        assert_eq!(topics[0].partitions[0].committed_leader_epoch, -1);
        let last = &topics[1].partitions[0];
        assert_eq!((last.committed_offset, last.committed_leader_epoch), (9, 3));
        assert_eq!(last.committed_metadata.as_deref(), Some("m"));
        let topics = fetched_topics(&partitions().into());
        assert_eq!(topics.len(), 2);
        assert_eq!(topics[0].partition_indexes, [1, 2]);
    }

    #[test]
    fn what_an_answer_leaves_out_is_not_committed() {
        let offsets = partitions().map(|partition| (partition, offset(7, None)));
        let partition = |partition_index, error_code| OffsetCommitPartition {
            partition_index,
            error_code,
        };
        let answer = OffsetCommitAnswer {
            topics: vec![OffsetCommitTopic {
                name: StrBytes::from_static_str("a"),
                partitions: vec![partition(1, 0), partition(2, 27), partition(3, 0)],
            }],
            ..OffsetCommitAnswer::default()
        };
        let Response::OffsetCommit { codes } = committed(&offsets.into(), &answer) else {
            panic!("another response");
        };
        let codes: Vec<_> = codes.into_iter().map(|(_, code)| code).collect();
        assert_eq!(codes, [0, 27, NOT_MENTIONED]);
    }

    #[test]
    fn only_a_negative_offset_is_none() {
        let partition = |partition_index, committed_offset| OffsetFetchPartition {
            partition_index,
            committed_offset,
            committed_leader_epoch: i32::try_from(committed_offset).unwrap() - 1,
            metadata: None,
            error_code: 0,
        };
        let answer = OffsetFetchAnswer {
            topics: vec![OffsetFetchTopic {
                name: StrBytes::from_static_str("a"),
                partitions: vec![partition(0, -1), partition(1, 0), partition(2, 6)],
            }],
            ..OffsetFetchAnswer::default()
        };
        let offsets = fetched(answer).into_iter().map(|(_, _, offset)| {
            let offset = offset?;
            Some((offset.offset, offset.leader_epoch))
        });
        let known = [None, Some((0, None)), Some((6, Some(5)))];
        assert_eq!(offsets.collect::<Vec<_>>(), known);
    }
}
