use std::io::ErrorKind;
use std::time::Duration;

use cqi_testkit::scripted::{Api, Reply};
use kafka_protocol::messages::ApiVersionsRequest;

use tokio::time::Instant;

use super::asked::{self, batch};
use super::client::Client;
use super::{ScriptedKafka, kafka};

/// A short while, in which a broker that wants to answers.
const SHORT: Duration = Duration::from_millis(100);

#[test]
fn codes_are_where_they_are_told() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    kafka.next(Api::Fetch, Reply::Error(70));
    kafka.next(Api::Fetch, Reply::ItemError(1));
    let answer = client.ask(12, &asked::fetch(0, 60_000));
    assert_eq!((answer.error_code, answer.responses.len()), (70, 0));
    let answer = client.ask(12, &asked::fetch(0, 60_000));
    let partition = &answer.responses[0].partitions[0];
    assert_eq!((answer.error_code, partition.error_code), (0, 1));

    kafka.next(Api::OffsetFetch, Reply::Error(14));
    kafka.next(Api::OffsetFetch, Reply::ItemError(88));
    assert_eq!(client.ask(7, &asked::committed()).error_code, 14);
    let answer = client.ask(7, &asked::committed());
    assert_eq!(answer.topics[0].partitions[0].error_code, 88);

    kafka.next(Api::Metadata, Reply::Error(29));
    kafka.next(Api::Metadata, Reply::ItemError(5));
    assert_eq!(client.ask(9, &asked::metadata()).topics[0].error_code, 29);
    let answer = client.ask(9, &asked::metadata());
    assert_eq!(answer.topics[0].partitions[0].error_code, 5);

    kafka.next(Api::LeaveGroup, Reply::Error(16));
    assert_eq!(client.ask(5, &asked::leave("me")).error_code, 16);
    kafka.next(Api::LeaveGroup, Reply::ItemError(82));
    assert_eq!(client.ask(5, &asked::leave("me")).members[0].error_code, 82);
}

/// Each API's answer has each code, and says nothing that a broker with an error would not.
#[test]
fn every_answer_has_a_code() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    for api in Api::ALL {
        kafka.always(api, Reply::Error(-1));
    }
    assert_eq!(client.ask(3, &ApiVersionsRequest::default()).error_code, -1);
    assert_eq!(client.ask(9, &asked::metadata()).topics[0].error_code, -1);
    let answer = client.ask(3, &asked::coordinator());
    assert_eq!((answer.error_code, answer.port), (-1, -1));
    assert_eq!(client.ask(9, &asked::join("")).error_code, -1);
    assert_eq!(client.ask(5, &asked::sync("me", 1, &[])).error_code, -1);
    assert_eq!(client.ask(4, &asked::heartbeat("me", 1)).error_code, -1);
    let answer = client.ask(9, &asked::commit("", -1, 5));
    assert_eq!(answer.topics[0].partitions[0].error_code, -1);
    assert_eq!(kafka.committed("desk", "orders", 0), None);
    let answer = client.ask(7, &asked::offsets(-1));
    assert_eq!(answer.topics[0].partitions[0].error_code, -1);
    let answer = client.ask(9, &asked::produce(batch(1, -1)));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, -1);
    assert!(kafka.batches("orders", 0).is_empty());
    assert_eq!(client.ask(4, &asked::producer()).error_code, -1);
    let answer = client.ask(4, &asked::epoch_end(0));
    assert_eq!(answer.topics[0].partitions[0].error_code, -1);
    assert_eq!(client.ask(1, &asked::plain()).error_code, -1);
    assert_eq!(client.ask(2, &asked::password("any")).error_code, -1);

    kafka.behave();
    kafka.next(Api::Produce, Reply::DoneButError(7));
    let answer = client.ask(9, &asked::produce(batch(1, -1)));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 7);
    assert_eq!(kafka.batches("orders", 0).len(), 1);
}

#[test]
fn a_connection_ends_as_told() {
    let kafka = kafka();
    let outcome = |reply: Reply| {
        kafka.next(Api::Produce, reply);
        let mut client = Client::to(&kafka, 1);
        client.patience(SHORT);
        client.send(9, &asked::produce(batch(1, -1))).unwrap();
        client.rest().map_err(|error| error.kind())
    };
    let count = || kafka.batches("orders", 0).len();
    assert_eq!(outcome(Reply::Close), Ok(Vec::new()));
    assert_eq!(outcome(Reply::Reset), Err(ErrorKind::ConnectionReset));
    assert_eq!(outcome(Reply::Silence), Err(ErrorKind::WouldBlock));
    assert_eq!(count(), 0);
    assert_eq!(outcome(Reply::DoneButClose), Ok(Vec::new()));
    assert_eq!(outcome(Reply::CloseAfterBytes(9)).unwrap().len(), 9);
    assert_eq!(
        outcome(Reply::StallAfterBytes(9)),
        Err(ErrorKind::WouldBlock)
    );
    assert_eq!(count(), 3);

    let mut client = Client::to(&kafka, 1);
    client.ask(9, &asked::metadata());
    kafka.cut();
    assert!(client.rest().unwrap().is_empty());
}

#[test]
fn frames_are_as_wrong_as_told() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let mut frame = |reply: Reply| {
        kafka.next(Api::Metadata, reply);
        client.send(9, &asked::metadata()).unwrap();
        client.frame().unwrap()
    };
    let whole = frame(Reply::Normal);
    // The correlation id and the tags.
    assert_eq!(frame(Reply::Truncated(3)), whole[..5 + 3]);
    assert_eq!(frame(Reply::Padded(2)), [&whole[..], &[0, 0]].concat());
    let other = frame(Reply::WrongCorrelationId);
    assert_ne!(other[..4], whole[..4]);
    assert_eq!(other[4..], whole[4..]);
    let garbage = frame(Reply::Garbage(5));
    assert_eq!(garbage, frame(Reply::Garbage(5)));
    assert_ne!(garbage, frame(Reply::Garbage(6)));
    assert_eq!(garbage[..5], whole[..5]);
    let corrupt = frame(Reply::Corrupt(5));
    assert_eq!(corrupt, frame(Reply::Corrupt(5)));
    assert_eq!(corrupt.len(), whole.len());
    assert_ne!(corrupt, whole);
    let different = corrupt.iter().zip(&whole).filter(|(a, b)| a != b);
    assert!(different.count() <= 3);

    for length in [-1, 0, i32::MAX] {
        let mut client = Client::to(&kafka, 1);
        kafka.next(Api::Metadata, Reply::Length(length));
        client.send(9, &asked::metadata()).unwrap();
        assert_eq!(client.length().unwrap(), length);
    }
}

#[test]
fn answers_are_late_as_told() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let begin = Instant::now();
    kafka.next(Api::Metadata, Reply::Delay(SHORT));
    client.ask(9, &asked::metadata());
    kafka.next(Api::Produce, Reply::Late(SHORT));
    client.send(9, &asked::produce(batch(1, -1))).unwrap();
    while kafka.batches("orders", 0).is_empty() {
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "it is done at once"
        );
    }
    client.frame().unwrap();
    assert!(begin.elapsed() >= SHORT * 2);

    kafka.next(Api::Fetch, Reply::Throttle(Duration::from_millis(1_500)));
    assert_eq!(client.ask(12, &asked::fetch(0, 0)).throttle_time_ms, 1_500);
    assert_eq!(client.ask(12, &asked::fetch(0, 0)).throttle_time_ms, 0);
}

#[test]
fn a_silent_connection_counts_what_it_is_asked() {
    let kafka = ScriptedKafka::builder().topic("orders", 1).start().unwrap();
    kafka.next(Api::Heartbeat, Reply::Silence);
    let mut client = Client::to(&kafka, 1);
    for _ in 0..3 {
        client.send(4, &asked::heartbeat("me", 1)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime
        .block_on(kafka.requested(Api::Heartbeat, 3))
        .unwrap();
    let requests = kafka.requests(Api::Heartbeat);
    assert!(
        requests
            .iter()
            .all(|request| request.reply == Reply::Silence)
    );
    assert!(requests.is_sorted_by_key(|request| request.at));
    client.patience(SHORT);
    client.frame().unwrap_err();
}
