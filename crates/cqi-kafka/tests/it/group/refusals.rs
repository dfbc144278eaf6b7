//! What brokers do rarely.

use cqi_kafka::records::{BatchBuilder, BatchOptions, NewRecord, Producer};
use cqi_testkit::scripted::{Api, Reply, ScriptedKafka};

use super::*;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";

async fn join(kafka: &ScriptedKafka) -> Seat {
    let mut client = ClientSettings::new([kafka.bootstrap()]);
    client.metadata_max_age = Duration::from_millis(100);
    let client = Client::connect(client);
    let mut settings = settings(GROUP);
    settings.member.heartbeat_interval = Duration::from_millis(50);
    settings.member.max_backoff = Duration::from_millis(200);
    Seat::join_as(&client.await.unwrap(), settings, TOPIC, &Seen::default())
}

async fn joined(kafka: &ScriptedKafka) -> [Seat; 1] {
    let mut seats = [join(kafka).await];
    until(&mut seats, "joined", |seats| share(seats, &[2])).await;
    seats[0].log.clear();
    seats
}

fn brokers() -> ScriptedKafka {
    let builder = ScriptedKafka::builder().brokers(2).topic(TOPIC, 2);
    builder.start().unwrap()
}

fn append(kafka: &ScriptedKafka, values: impl IntoIterator<Item = usize>) {
    for value in values {
        let value = value.to_string();
        let mut batch = BatchBuilder::new(BatchOptions::default());
        let mut record = NewRecord::at(1_700_000_000_000);
        record.value = Some(value.as_bytes());
        let _ = batch.push(&record).unwrap();
        let batch = batch.finish(Producer::NONE).unwrap();
        kafka.append(TOPIC, 0, batch.bytes()).unwrap();
    }
}

#[tokio::test]
async fn pitfall_8_each_refusal_has_its_remedy() {
    let anew = ["lost", "assigned"];
    for (code, log) in [
        (14, &[][..]), // COORDINATOR_LOAD_IN_PROGRESS
        (15, &[]),     // COORDINATOR_NOT_AVAILABLE
        (16, &[]),     // NOT_COORDINATOR
        (27, &[]),     // REBALANCE_IN_PROGRESS
        (22, &anew),   // ILLEGAL_GENERATION
        (25, &anew),   // UNKNOWN_MEMBER_ID
    ] {
        let kafka = brokers();
        let mut seats = joined(&kafka).await;
        let generation = seats[0].consumer.status().generation;
        kafka.next(Api::Heartbeat, Reply::Error(code));
        let asked = kafka.count(Api::Heartbeat);
        append(&kafka, 0..10);
        until(&mut seats, "at work again", |seats| {
            kafka.count(Api::Heartbeat) > asked + 2
                && share(seats, &[2])
                && seats[0].consumer.status().stable
                && seen_all(&seats[0].seen, 10)
        })
        .await;
        assert_eq!(seats[0].log, log, "after code {code}");
        let rejoined = seats[0].consumer.status().generation != generation;
        assert_eq!(rejoined, [22, 25, 27].contains(&code), "after code {code}");
    }
}

#[tokio::test]
async fn pitfall_9_an_error_is_not_a_missing_offset() {
    let kafka = brokers();
    let mut seats = joined(&kafka).await;
    append(&kafka, 0..10);
    until(&mut seats, "read", |seats| {
        seen_all(&seats[0].seen, 10) && kafka.committed(GROUP, TOPIC, 0) == Some(10)
    })
    .await;
    let [seat] = seats;
    seat.consumer.close().await.unwrap();
    kafka.next_n(3, Api::OffsetFetch, Reply::ItemError(14));
    kafka.next_n(3, Api::OffsetFetch, Reply::Error(16));
    let mut seats = joined(&kafka).await;
    append(&kafka, 10..12);
    until(&mut seats, "read on", |seats| {
        seats[0].seen.lock().unwrap().contains_key("11")
    })
    .await;
    assert_eq!(
        seats[0].seen.lock().unwrap().len(),
        2,
        "read from the start"
    );
}

#[tokio::test]
async fn pitfall_5_heartbeats_wait_for_nothing() {
    let kafka = brokers();
    let mut seats = joined(&kafka).await;
    kafka.always(Api::OffsetCommit, Reply::Silence);
    let handle = seats[0].consumer.handle();
    let partition = TopicPartition::new(TOPIC, 0);
    let commit = tokio::spawn(async move { handle.commit([(partition, offset(1, ""))]).await });
    until(&mut seats, "asked", |_| kafka.count(Api::OffsetCommit) > 0).await;
    let beats = kafka.count(Api::Heartbeat);
    until(&mut seats, "alive", |_| {
        kafka.count(Api::Heartbeat) > beats + 20
    })
    .await;
    assert!(!commit.is_finished());
    assert!(seats[0].log.is_empty());
    commit.abort();
}

#[tokio::test]
async fn pitfall_4_closing_does_not_wait_for_a_rebalance() {
    let kafka = brokers();
    let mut seats = joined(&kafka).await;
    kafka.always(Api::JoinGroup, Reply::Silence);
    let joins = kafka.count(Api::JoinGroup);
    kafka.rebalance(GROUP);
    until(&mut seats, "joining", |_| {
        kafka.count(Api::JoinGroup) > joins
    })
    .await;
    let begun = Instant::now();
    let [seat] = seats;
    seat.consumer.close().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(kafka.count(Api::LeaveGroup), 1);
}

#[tokio::test]
async fn a_topic_that_may_not_be_seen_is_told_once_and_found_later() {
    let kafka = brokers();
    kafka.always(Api::Metadata, Reply::Error(29));
    let mut seat = join(&kafka).await;
    let error = loop {
        match seat.consumer.poll(PATIENCE).await {
            Ok(heard) => assert!(matches!(heard, Some(Event::Assigned(_)))),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Forbidden, "{error:#}");
    assert!(error.to_string().contains(TOPIC), "{error:#}");
    let quiet = Duration::from_millis(300);
    while seat.consumer.poll(quiet).await.unwrap().is_some() {}
    kafka.behave();
    seat.consumer.subscribe([TOPIC, "other"]).unwrap();
    let mut seats = [seat];
    until(&mut seats, "seen", |seats| share(seats, &[2])).await;
}

#[tokio::test]
async fn all_topics_that_may_not_be_seen_are_told() {
    let kafka = brokers();
    kafka.always(Api::Metadata, Reply::Error(29));
    let mut seat = join(&kafka).await;
    seat.consumer.subscribe([TOPIC, "one", "two"]).unwrap();
    let error = loop {
        match seat.consumer.poll(PATIENCE).await {
            Ok(heard) => assert!(matches!(heard, Some(Event::Assigned(_)))),
            Err(error) => break error.to_string(),
        }
    };
    for topic in [TOPIC, "one", "two"] {
        assert!(error.contains(topic), "{error}");
    }
}

#[tokio::test]
async fn a_refused_commit_says_what_to_do_and_the_next_one_succeeds() {
    let kafka = brokers();
    let seats = joined(&kafka).await;
    for (code, kind) in [
        (12, Kind::InvalidInput),
        (29, Kind::Forbidden),
        (48, Kind::Permanent), // INVALID_TXN_STATE
    ] {
        kafka.next(Api::OffsetCommit, Reply::ItemError(code));
        let partition = TopicPartition::new(TOPIC, 0);
        let consumer = &seats[0].consumer;
        let commit = consumer.commit([(partition.clone(), offset(3, ""))]);
        let error = commit.await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
        assert!(
            error.to_string().contains(&format!("({code})")),
            "{error:#}"
        );
        let commit = consumer.commit([(partition.clone(), offset(4, ""))]);
        commit.await.unwrap();
        assert_eq!(kafka.committed(GROUP, TOPIC, 0), Some(4));
    }
}

#[tokio::test]
async fn a_topic_keeps_its_partitions_while_brokers_are_not_ready() {
    let kafka = brokers();
    let mut seats = joined(&kafka).await;
    let generation = seats[0].consumer.status().generation;
    kafka.always(Api::Metadata, Reply::Error(5));
    let asked = kafka.count(Api::Metadata);
    until(&mut seats, "asked", |_| {
        kafka.count(Api::Metadata) > asked + 3
    })
    .await;
    kafka.behave();
    append(&kafka, 0..1);
    until(&mut seats, "read", |seats| seen_all(&seats[0].seen, 1)).await;
    assert!(seats[0].log.is_empty(), "{:?}", seats[0].log);
    assert_eq!(seats[0].consumer.status().generation, generation);
}

#[tokio::test]
async fn a_lookup_of_offsets_follows_the_coordinator_and_says_what_is_refused() {
    let kafka = brokers();
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    settings.request_timeout = Duration::from_secs(1);
    let client = Client::connect(settings).await.unwrap();
    let partition = || [TopicPartition::new(TOPIC, 0)];
    for (api, reply) in [
        (Api::FindCoordinator, Reply::Error(15)),
        (Api::OffsetFetch, Reply::Error(16)),
        (Api::OffsetFetch, Reply::ItemError(88)), // UNSTABLE_OFFSET_COMMIT
        (Api::OffsetFetch, Reply::Close),
    ] {
        kafka.next(api, reply);
        let found = client.committed(GROUP, partition()).await.unwrap();
        assert_eq!(found[&partition()[0]], None);
    }
    for (api, reply, kind, name) in [
        (
            Api::FindCoordinator,
            Reply::Error(30),
            Kind::Forbidden,
            GROUP,
        ),
        (
            Api::OffsetFetch,
            Reply::ItemError(29),
            Kind::Forbidden,
            "orders-0",
        ),
        (
            Api::OffsetFetch,
            Reply::Error(14),
            Kind::Temporary,
            "COORDINATOR_LOAD_IN_PROGRESS (14)",
        ),
        (Api::OffsetFetch, Reply::Silence, Kind::Timeout, "broker"),
    ] {
        let begun = Instant::now();
        kafka.always(api, reply);
        let error = client.committed(GROUP, partition()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
        assert!(format!("{error:#}").contains(name), "{error:#}");
        assert!(begun.elapsed() < PATIENCE / 4);
        kafka.behave();
    }
}
