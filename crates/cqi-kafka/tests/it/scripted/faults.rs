use std::future::Future;
use std::time::Instant;

use cqi_errors::{Kind, Result};
use cqi_kafka::membership::Offset;
use cqi_kafka::producer::{Producer, ProducerSettings, Written};
use cqi_kafka::{Event, Sasl};
use futures_util::{StreamExt, stream};

use super::*;

/// How long a client's life may take, on a machine that is busy with other tests.
const LIFE: Duration = Duration::from_secs(60);

/// How often a call is made until it does what it is for.
const TRIES: usize = 5;

/// Ways to answer wrongly, late or not at all.
fn faults() -> Vec<Reply> {
    let mut faults = vec![
        Reply::Close,
        Reply::Reset,
        Reply::Silence,
        Reply::DoneButClose,
        Reply::WrongCorrelationId,
        Reply::Padded(3),
        Reply::Late(Duration::from_millis(700)),
        Reply::Delay(Duration::from_millis(700)),
        Reply::Throttle(Duration::from_millis(100)),
    ];
    faults.extend([2, 7].map(Reply::CloseAfterBytes));
    faults.extend([2, 9].map(Reply::StallAfterBytes));
    faults.extend([0, 1, 5, 9].map(Reply::Truncated));
    faults.extend([i32::MIN, -1, 0, 3, i32::MAX].map(Reply::Length));
    faults.extend((0..4).map(Reply::Garbage));
    faults
}

/// Makes a call until it succeeds.
async fn insist<T, F>(what: &str, call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T>>,
{
    let mut last = None;
    for _ in 0..TRIES {
        match call().await {
            Ok(value) => return value,
            Err(error) => last = Some(error),
        }
        // As a caller would, who is told that it may pass.
        tokio::time::sleep(PAUSES.1 * 2).await;
    }
    panic!("{what}: {:#}", last.unwrap());
}

fn producer_settings() -> ProducerSettings {
    let mut settings = ProducerSettings::default();
    settings.request_timeout = Duration::from_millis(500);
    settings.delivery_timeout = Duration::from_secs(20);
    (settings.retry_backoff, settings.retry_backoff_max) = PAUSES;
    settings
}

/// Lives through all that a client does: logs in, produces, joins, reads, commits, leaves.
async fn live(kafka: &ScriptedKafka) {
    let connect = || async {
        let mut settings = client_settings(kafka);
        settings.request_timeout = Duration::from_millis(500);
        settings.connection.connect_timeout = Duration::from_secs(1);
        settings.connection.sasl = Some(Sasl::plain("bob", "secret"));
        Client::connect(settings).await
    };
    let client = insist("connect", connect).await;
    insist("partitions", || client.partitions("orders")).await;

    let producer = Producer::start(&client, producer_settings()).unwrap();
    for offset in 0..2 {
        let send = || async {
            let delivered = producer.send(&orders(), batch()).await?.await;
            // What may have been written is not sent again.
            delivered.inspect_err(|error| assert_eq!(Written::of(error), Written::No, "{error:#}"))
        };
        assert_eq!(insist("produce", send).await.offset, Some(offset));
    }
    producer.close(Duration::from_secs(2)).await;
    assert_eq!(kafka.batches("orders", 0).len(), 2, "each is written once");

    let mut settings = group_settings();
    settings.member.request_timeout = Duration::from_millis(500);
    let mut consumer = join(&client, settings);
    let (mut read, mut told) = (0, 0);
    while read < 2 {
        match consumer.poll(LIFE).await {
            Ok(Some(Event::Records(records))) => read += records.len(),
            Ok(_) => {}
            // Told what the broker did wrong, the caller polls again.
            Err(error) if told < TRIES && error.kind() != Kind::Unknown => told += 1,
            Err(error) => panic!("poll: {error:#}"),
        }
    }
    let commit = || {
        let offset = Offset {
            offset: 2,
            leader_epoch: None,
            metadata: "".into(),
        };
        consumer.commit([(orders(), offset)])
    };
    insist("commit", commit).await;
    assert_eq!(kafka.committed("desk", "orders", 0), Some(2));
    let beats = kafka.count(Api::Heartbeat) + 3;
    kafka.requested(Api::Heartbeat, beats).await.unwrap();

    let begin = Instant::now();
    let _ = consumer.close().await;
    assert!(begin.elapsed() < Duration::from_secs(5), "close");
    client.close().await;
}

async fn many(cases: Vec<(Api, Reply)>) {
    let cases = cases.into_iter().map(|(api, reply)| async move {
        let kafka = brokers().sasl_plain("bob", "secret").start().unwrap();
        kafka.next(api, reply);
        let life = {
            let kafka = kafka.clone();
            tokio::spawn(async move { live(&kafka).await })
        };
        match tokio::time::timeout(LIFE, life).await {
            Ok(ended) => assert!(ended.is_ok(), "{api} with {reply:?}: {ended:?}"),
            Err(_) => panic!("{api} with {reply:?} hangs"),
        }
        for other in Api::ALL.iter().filter(|api| **api != Api::Heartbeat) {
            let asked = kafka.count(*other);
            assert!(
                asked < MOST,
                "{api} with {reply:?}: {asked} requests to {other}"
            );
        }
    });
    stream::iter(cases)
        .buffer_unordered(12)
        .collect::<Vec<()>>()
        .await;
}

/// Each fault once in each API that a healthy client uses: all that follows goes well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_is_survived() {
    let unused = [Api::OffsetForLeaderEpoch];
    let apis = Api::ALL.into_iter().filter(|api| !unused.contains(api));
    many(
        apis.flat_map(|api| faults().into_iter().map(move |fault| (api, fault)))
            .collect(),
    )
    .await;
}
