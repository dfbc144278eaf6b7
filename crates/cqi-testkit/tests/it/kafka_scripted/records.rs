use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::FetchResponse;

use tokio::time::Instant;

use super::asked::{self, batch};
use super::client::Client;
use super::{ScriptedKafka, kafka};

fn records(answer: &FetchResponse) -> &[u8] {
    answer.responses[0].partitions[0]
        .records
        .as_deref()
        .unwrap()
}

fn code(answer: &FetchResponse) -> i16 {
    answer.responses[0].partitions[0].error_code
}

#[test]
fn what_is_produced_is_fetched() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let mut produce = |batch: Bytes| {
        let answer = client.ask(9, &asked::produce(batch));
        let partition = &answer.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    };
    assert_eq!(produce(batch(3, 0)), (0, 0));
    assert_eq!(produce(batch(2, 3)), (0, 3));
    assert_eq!(produce(batch(3, 0)), (0, 0), "a duplicate");
    assert_eq!(produce(batch(1, 9)), (45, -1), "a gap");
    assert_eq!(produce(Bytes::from_static(b"no batch")), (2, -1));
    assert_eq!(kafka.batches("orders", 0).len(), 2);

    let answer = client.ask(12, &asked::fetch(4, 0));
    assert_eq!(records(&answer), kafka.batches("orders", 0)[1]);
    assert_eq!(answer.responses[0].partitions[0].high_watermark, 5);
    let little = asked::fetch(0, 0).with_max_bytes(1);
    assert_eq!(
        records(&client.ask(12, &little)),
        kafka.batches("orders", 0)[0]
    );
    assert_eq!(
        client.ask(7, &asked::offsets(1_002)).topics[0].partitions[0].offset,
        0
    );
    assert_eq!(
        client.ask(7, &asked::offsets(9_000)).topics[0].partitions[0].offset,
        -1
    );
}

#[test]
fn an_empty_fetch_waits() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let begin = Instant::now();
    assert!(records(&client.ask(12, &asked::fetch(0, 100))).is_empty());
    assert!(begin.elapsed() >= Duration::from_millis(100));

    let appending = kafka.clone();
    let appended = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        appending.append("orders", 0, &batch(1, -1)).unwrap()
    });
    let begin = Instant::now();
    assert!(!records(&client.ask(12, &asked::fetch(0, 9_000))).is_empty());
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(appended.join().unwrap(), 0);
}

#[test]
fn a_session_tells_news_only() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let full = client.ask(12, &asked::fetch(0, 0).with_session_epoch(0));
    assert_eq!((full.error_code, full.responses.len()), (0, 1));
    let next = |epoch: i32| {
        let request = asked::fetch(0, 0).with_topics(Vec::new());
        request
            .with_session_id(full.session_id)
            .with_session_epoch(epoch)
    };
    assert!(client.ask(12, &next(1)).responses.is_empty());
    kafka.append("orders", 0, &batch(1, -1)).unwrap();
    assert!(!records(&client.ask(12, &next(2))).is_empty());
    assert_eq!(client.ask(12, &next(7)).error_code, 71);
    assert_eq!(client.ask(12, &next(3).with_session_id(9)).error_code, 70);
    let mut other = asked::fetch(1, 0).with_session_epoch(3);
    other.session_id = full.session_id;
    assert!(
        client.ask(12, &other).responses.is_empty(),
        "nothing at offset 1"
    );
}

#[test]
fn elections_and_retention_are_told() {
    let kafka = ScriptedKafka::builder().brokers(2).topic("orders", 2);
    let kafka = kafka.start().unwrap();
    let mut client = Client::to(&kafka, 1);
    for _ in 0..4 {
        kafka.append("orders", 0, &batch(1, -1)).unwrap();
    }
    kafka.expire_records("orders", 0, 2).unwrap();
    assert_eq!(code(&client.ask(12, &asked::fetch(1, 0))), 1);
    assert_eq!(
        client.ask(7, &asked::offsets(-2)).topics[0].partitions[0].offset,
        2
    );

    kafka.lose_records("orders", 0, 3).unwrap();
    let mut behind = asked::fetch(4, 0);
    behind.topics[0].partitions[0].last_fetched_epoch = 0;
    let answer = client.ask(12, &behind);
    assert_eq!(
        answer.responses[0].partitions[0].diverging_epoch.end_offset,
        3
    );
    assert_eq!(
        client.ask(4, &asked::epoch_end(0)).topics[0].partitions[0].end_offset,
        3
    );

    kafka.move_leader("orders", 0, 2).unwrap();
    let answer = client.ask(12, &asked::fetch(2, 0));
    assert_eq!(code(&answer), 6);
    assert_eq!(
        answer.responses[0].partitions[0].current_leader.leader_id.0,
        2
    );
    let mut other = Client::to(&kafka, 2);
    let mut stale = asked::fetch(2, 0);
    stale.topics[0].partitions[0].current_leader_epoch = 0;
    assert_eq!(code(&other.ask(12, &stale)), 74);
    stale.topics[0].partitions[0].current_leader_epoch = 9;
    assert_eq!(code(&other.ask(12, &stale)), 75);
    assert_eq!(code(&other.ask(12, &asked::fetch(2, 0))), 0);

    kafka.move_leader("orders", 0, 0).unwrap();
    let orphan = &client.ask(9, &asked::metadata()).topics[0].partitions;
    assert_eq!((orphan[0].error_code, orphan[0].leader_id.0), (5, -1));
    assert_eq!(orphan[1].leader_id.0, 2);
    kafka.remove_topic("orders");
    assert_eq!(client.ask(9, &asked::metadata()).topics[0].error_code, 3);
    kafka.add_partitions("orders", 3);
    assert_eq!(
        client.ask(9, &asked::metadata()).topics[0].partitions.len(),
        3
    );
    kafka.move_leader("orders", 3, 1).unwrap_err();
}
