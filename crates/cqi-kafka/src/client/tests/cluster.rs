use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use super::*;
use crate::TopicPartition;
use crate::client::Leader;
use crate::wire::{MetadataAnswer, MetadataBroker, MetadataPartition, MetadataTopic};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic by name, code, id, and leader and epoch of each partition.
fn topic(name: &str, error_code: i16, id: u8, partitions: &[(i32, i32)]) -> MetadataTopic {
    let partition = |(index, (leader, epoch)): (usize, &(i32, i32))| MetadataPartition {
        error_code: if *leader < 0 { 5 } else { 0 },
        partition_index: index.try_into().unwrap(),
        leader_id: *leader,
        leader_epoch: *epoch,
        ..MetadataPartition::default()
    };
    MetadataTopic {
        error_code,
        name: text(name),
        topic_id: [id; 16],
        partitions: partitions.iter().enumerate().map(partition).collect(),
        ..MetadataTopic::default()
    }
}

fn answer(brokers: &[i32], topics: Vec<MetadataTopic>) -> MetadataAnswer {
    let broker = |id: &i32| MetadataBroker {
        node_id: *id,
        host: text("kafka"),
        port: 9092 + id,
        rack: None,
    };
    MetadataAnswer {
        brokers: brokers.iter().map(broker).collect(),
        cluster_id: Some(text("one")),
        topics,
        ..MetadataAnswer::default()
    }
}

fn after(cluster: &Cluster, topic: MetadataTopic) -> Cluster {
    let answer = answer(&[1, 2, 3], vec![topic]);
    cluster.after(&answer, &topics(&["a"]), 0).unwrap()
}

fn leader(cluster: &Cluster, partition: i32) -> Option<(i32, i32)> {
    let leader = cluster.leader(&TopicPartition::new("a", partition));
    leader.map(|Leader { node, epoch }| (node, epoch))
}

#[test]
fn an_epoch_does_not_go_back() {
    let first = after(&Cluster::default(), topic("a", 0, 7, &[(1, 5), (2, 5)]));
    let second = after(&first, topic("a", 0, 7, &[(2, 4), (3, 6)]));
    assert_eq!(leader(&second, 0), Some((1, 5)), "an older broker's answer");
    assert_eq!(leader(&second, 1), Some((3, 6)));
    let third = after(&second, topic("a", 0, 7, &[(-1, 5), (1, 6)]));
    assert_eq!(leader(&third, 0), None);
    assert_eq!(leader(&third, 1), Some((1, 6)));
    assert_eq!(third.version, 3);
}

#[test]
fn an_epoch_does_not_go_back_over_an_answer_without_the_topic() {
    let first = after(&Cluster::default(), topic("a", 0, 7, &[(1, 5)]));
    let missing = after(&first, topic("a", 3, 0, &[]));
    assert_eq!(missing.locate(&TopicPartition::new("a", 0)), Err(3));
    let back = after(&missing, topic("a", 0, 7, &[(2, 4)]));
    assert_eq!(leader(&back, 0), Some((1, 5)));
}

#[test]
fn a_topic_that_was_made_again_begins_anew() {
    let first = after(&Cluster::default(), topic("a", 0, 7, &[(1, 5), (1, 5)]));
    let again = after(&first, topic("a", 0, 8, &[(2, 0)]));
    assert_eq!(leader(&again, 0), Some((2, 0)));
    assert_eq!(again.topics["a"].partitions.len(), 1);
}

#[test]
fn a_topic_without_id_begins_anew_once_it_was_missing() {
    let first = after(&Cluster::default(), topic("a", 0, 0, &[(1, 5)]));
    let older = after(&first, topic("a", 0, 0, &[(2, 0)]));
    assert_eq!(leader(&older, 0), Some((1, 5)));
    let missing = after(&older, topic("a", 3, 0, &[]));
    let again = after(&missing, topic("a", 0, 0, &[(2, 0)]));
    assert_eq!(leader(&again, 0), Some((2, 0)));
}

#[test]
fn another_cluster_begins_anew() {
    let first = after(&Cluster::default(), topic("a", 0, 7, &[(1, 5)]));
    let mut other = answer(&[1], vec![topic("a", 0, 7, &[(1, 0)])]);
    other.cluster_id = Some(text("two"));
    let other = first.after(&other, &topics(&["a"]), 0).unwrap();
    assert_eq!(leader(&other, 0), Some((1, 0)));
}

#[test]
fn partitions_are_not_taken_away() {
    let first = after(&Cluster::default(), topic("a", 0, 7, &[(1, 5), (1, 5)]));
    let fewer = after(&first, topic("a", 0, 7, &[(1, 5)]));
    assert_eq!(fewer.topics["a"].partitions.len(), 2);
}

#[test]
fn a_topic_nobody_follows_is_dropped() {
    let first = after(&Cluster::default(), topic("a", 0, 7, &[(1, 5)]));
    let both = answer(
        &[1],
        vec![topic("a", 0, 7, &[(1, 5)]), topic("b", 0, 9, &[(1, 0)])],
    );
    let second = first.after(&both, &topics(&["b"]), 0).unwrap();
    assert_eq!(
        second.topics.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["b"]
    );
}

#[test]
fn a_broker_that_knows_of_none_is_not_believed() {
    let first = after(&Cluster::default(), topic("a", 0, 7, &[(1, 5)]));
    assert!(
        first
            .after(&answer(&[], Vec::new()), &topics(&["a"]), 0)
            .is_none()
    );
}

#[test]
fn what_will_change_soon_is_unsettled() {
    let cases = [
        (topic("a", 0, 7, &[(1, 5)]), false),
        (topic("a", 0, 7, &[(1, 5), (-1, 5)]), true),
        (topic("a", 3, 0, &[]), true),
        (topic("a", 5, 0, &[]), true),
        (topic("a", 17, 0, &[]), false),
        (topic("a", 29, 0, &[]), false),
    ];
    for (topic, unsettled) in cases {
        let cluster = after(&Cluster::default(), topic.clone());
        assert_eq!(cluster.is_unsettled(), unsettled, "{topic:?}");
    }
}

proptest! {
    /// Whatever brokers answer in whatever order: what is known of a partition is what was said with
    /// the highest epoch.
    #[test]
    fn the_latest_epoch_is_known(answers in prop::collection::vec(
        (0..4_i16, prop::collection::vec((-1..4_i32, 0..6_i32), 0..4)),
        1..20,
    )) {
        let mut cluster = Cluster::default();
        let mut latest = [-1; 4];
        for (code, partitions) in answers {
            let code = if code == 3 { 3 } else { 0 };
            let partitions = if code == 0 { partitions } else { Vec::new() };
            cluster = after(&cluster, topic("a", code, 7, &partitions));
            for (index, (_, epoch)) in partitions.iter().enumerate() {
                latest[index] = latest[index].max(*epoch);
            }
            for (index, partition) in cluster.topics["a"].partitions.iter().enumerate() {
                if let Some(leader) = partition.leader {
                    prop_assert_eq!(leader.epoch, latest[index]);
                }
            }
        }
    }
}
