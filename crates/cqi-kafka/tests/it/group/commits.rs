//! Commits while the coordinator is away, moves, or does not answer.

use cqi_errors::Result;
use cqi_kafka::GroupHandle;
use cqi_testkit::scripted::{Api, Reply, ScriptedKafka};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";

fn brokers() -> ScriptedKafka {
    let builder = ScriptedKafka::builder().brokers(2).topic(TOPIC, 1);
    builder.start().unwrap()
}

async fn joined(kafka: &ScriptedKafka, change: impl FnOnce(&mut GroupSettings)) -> [Seat; 1] {
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]));
    let mut settings = settings(GROUP);
    settings.member.heartbeat_interval = Duration::from_millis(50);
    change(&mut settings);
    let seat = Seat::join_as(&client.await.unwrap(), settings, TOPIC, &Seen::default());
    let mut seats = [seat];
    until(&mut seats, "joined", |seats| share(seats, &[1])).await;
    seats
}

fn commit(handle: &GroupHandle, to: i64) -> JoinHandle<Result<()>> {
    let handle = handle.clone();
    let partition = TopicPartition::new(TOPIC, 0);
    tokio::spawn(async move { handle.commit([(partition, offset(to, ""))]).await })
}

#[tokio::test]
async fn a_coordinator_that_is_away_for_a_while_is_waited_for() {
    let kafka = brokers();
    let [seat] = joined(&kafka, |_| {}).await;
    let handle = seat.consumer.handle();
    for api in [Api::FindCoordinator, Api::Heartbeat, Api::OffsetCommit] {
        kafka.always(api, Reply::Error(15));
    }
    let first = commit(&handle, 1);
    let asked = kafka.count(Api::OffsetCommit) + 1;
    kafka.requested(Api::OffsetCommit, asked).await.unwrap();
    let second = commit(&handle, 2);
    sleep(Duration::from_secs(1)).await;
    assert!(!first.is_finished() && !second.is_finished());
    let asked = kafka.count(Api::OffsetCommit) + kafka.count(Api::FindCoordinator);
    assert!(asked < 30, "{asked} requests in a second");
    kafka.behave();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(kafka.committed(GROUP, TOPIC, 0), Some(2));
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let kafka = brokers();
    let [seat] = joined(&kafka, |_| {}).await;
    let handle = seat.consumer.handle();
    let replies = [
        Reply::ItemError(-1),
        Reply::ItemError(3),  // UNKNOWN_TOPIC_OR_PARTITION
        Reply::ItemError(7),  // REQUEST_TIMED_OUT
        Reply::ItemError(14), // COORDINATOR_LOAD_IN_PROGRESS
        Reply::ItemError(15), // COORDINATOR_NOT_AVAILABLE
        Reply::ItemError(16), // NOT_COORDINATOR
        Reply::DoneButError(16),
        Reply::Close,
        Reply::Reset,
        Reply::DoneButClose,
        Reply::CloseAfterBytes(6),
    ];
    for (to, reply) in (1..).zip(replies) {
        let asked = kafka.count(Api::OffsetCommit);
        kafka.next(Api::OffsetCommit, reply);
        commit(&handle, to).await.unwrap().unwrap();
        assert_eq!(kafka.committed(GROUP, TOPIC, 0), Some(to), "{reply:?}");
        let tries = kafka.count(Api::OffsetCommit) - asked;
        assert_eq!(tries, 2, "{reply:?}");
    }
}

#[tokio::test]
async fn a_coordinator_that_moved_is_found_and_has_the_offsets() {
    let kafka = brokers();
    let [seat] = joined(&kafka, |_| {}).await;
    let before = seat.consumer.status().coordinator.unwrap();
    kafka.move_coordinator(3 - before);
    let handle = seat.consumer.handle();
    commit(&handle, 5).await.unwrap().unwrap();
    assert_eq!(kafka.committed(GROUP, TOPIC, 0), Some(5));
    assert_eq!(seat.consumer.status().coordinator, Some(3 - before));
}

#[tokio::test]
async fn a_commit_gives_up_in_time_and_says_why() {
    let kafka = brokers();
    let limit = Duration::from_millis(400);
    let [seat] = joined(&kafka, |settings| settings.commit_timeout = limit).await;
    let handle = seat.consumer.handle();
    kafka.always(Api::OffsetCommit, Reply::ItemError(14));
    let begun = Instant::now();
    let [first, second] = [commit(&handle, 8), commit(&handle, 9)];
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
    let text = error.to_string();
    assert!(
        text.contains("COORDINATOR_LOAD_IN_PROGRESS (14)"),
        "{error:#}"
    );
    let error = second.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
    assert!(begun.elapsed() >= limit);
    assert!(begun.elapsed() < PATIENCE / 4);
    kafka.behave();
    commit(&handle, 3).await.unwrap().unwrap();
    assert_eq!(kafka.committed(GROUP, TOPIC, 0), Some(3));
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_not_tried_again() {
    let kafka = brokers();
    let [seat] = joined(&kafka, |_| {}).await;
    let handle = seat.consumer.handle();
    kafka.always(Api::OffsetCommit, Reply::ItemError(14));
    let asked = kafka.count(Api::OffsetCommit);
    let forgotten = commit(&handle, 9);
    kafka.requested(Api::OffsetCommit, asked + 2).await.unwrap();
    forgotten.abort();
    assert!(forgotten.await.unwrap_err().is_cancelled());
    let behind = commit(&handle, 3);
    kafka.behave();
    behind.await.unwrap().unwrap();
    assert_eq!(kafka.committed(GROUP, TOPIC, 0), Some(3));
}

#[tokio::test]
async fn a_generation_that_ends_ends_the_commit() {
    for (lost, kind) in [(false, Kind::Temporary), (true, Kind::Conflict)] {
        let kafka = brokers();
        let mut seats = joined(&kafka, |_| {}).await;
        let handle = seats[0].consumer.handle();
        kafka.always(Api::OffsetCommit, Reply::ItemError(14));
        kafka.always(Api::JoinGroup, Reply::Silence);
        let asked = kafka.count(Api::OffsetCommit);
        let commit = commit(&handle, 9);
        kafka.requested(Api::OffsetCommit, asked + 2).await.unwrap();
        match lost {
            true => kafka.forget_members(GROUP),
            false => kafka.rebalance(GROUP),
        }
        until(&mut seats, "told", |_| commit.is_finished()).await;
        let error = commit.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
        assert_eq!(kafka.committed(GROUP, TOPIC, 0), None);
    }
}

#[tokio::test]
async fn closing_waits_for_commits_that_came_before_and_not_for_ever() {
    for comes_back in [true, false] {
        let kafka = brokers();
        let limit = Duration::from_secs(2);
        let [seat] = joined(&kafka, |settings| settings.close_timeout = limit).await;
        let handle = seat.consumer.handle();
        kafka.always(Api::OffsetCommit, Reply::ItemError(14));
        let asked = kafka.count(Api::OffsetCommit);
        let commit = commit(&handle, 9);
        kafka.requested(Api::OffsetCommit, asked + 2).await.unwrap();
        let closing = tokio::spawn(seat.consumer.close());
        if comes_back {
            kafka.behave();
            closing.await.unwrap().unwrap();
            commit.await.unwrap().unwrap();
            assert_eq!(kafka.committed(GROUP, TOPIC, 0), Some(9));
            assert_eq!(kafka.count(Api::LeaveGroup), 1);
        } else {
            let error = closing.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
            assert!(error.to_string().contains("(14)"), "{error:#}");
            let error = commit.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::Cancelled, "{error:#}");
        }
    }
}
