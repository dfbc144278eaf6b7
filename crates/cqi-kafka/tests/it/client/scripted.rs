//! Answers that brokers give rarely, each to an end that is documented.

use std::time::Instant;

use cqi_errors::{Kind, Result};
use cqi_kafka::{Client, Isolation, OffsetSpec, TopicPartition};
use cqi_testkit::scripted::{Api, Reply, ScriptedKafka};

use super::*;

/// How long a call may take here.
const LIMIT: Duration = Duration::from_millis(150);

/// All that the protocol guide has, and one that it has not.
fn codes() -> impl Iterator<Item = i16> {
    (-1..=133).filter(|code| *code != 0).chain([1000])
}

fn impatient(kafka: &ScriptedKafka) -> ClientSettings {
    let mut settings = settings([kafka.bootstrap()], 200);
    settings.request_timeout = LIMIT;
    settings.retry_backoff = Duration::from_millis(10);
    settings.retry_backoff_max = Duration::from_millis(40);
    settings
}

async fn latest(client: &Client) -> Result<()> {
    let partition = [TopicPartition::new("t", 0)];
    let offsets = client.offsets(partition, OffsetSpec::Latest, Isolation::default());
    offsets.await.map(drop)
}

/// What an API is asked for.
async fn ask(client: &Client, api: Api) -> Result<()> {
    match api {
        Api::Metadata => client.partitions("t").await.map(drop),
        _ => latest(client).await,
    }
}

/// Has the brokers refuse for ever, then once.
async fn walk(api: Api, reply: fn(i16) -> Reply) {
    let kafka = ScriptedKafka::builder()
        .brokers(2)
        .topic("t", 3)
        .start()
        .unwrap();
    let client = Client::connect(impatient(&kafka)).await.unwrap();
    for code in codes() {
        kafka.always(api, reply(code));
        let (begun, asked) = (Instant::now(), kafka.count(api));
        let error = ask(&client, api).await.unwrap_err();
        let (took, asked) = (begun.elapsed(), kafka.count(api) - asked);
        assert!(took < LIMIT * 30, "{code} took {took:?}: {error:#}");
        // Some questions are the client's own, which keeps what is followed fresh.
        assert!(asked < 20, "{code}: {asked} requests: {error:#}");
        let kind = error.kind();
        assert_ne!(kind, Kind::Cancelled, "{code}: {error:#}");
        let text = format!("{error:#}");
        assert!(text.contains('t') && !text.ends_with('.'), "{code}: {text}");

        kafka.behave();
        kafka.next(api, reply(code));
        // The refusal may go to a question of the client's own.
        if kind.is_retryable() || code == 3 {
            ask(&client, api).await.unwrap();
        }
        kafka.behave();
    }
    client.close().await;
}

#[tokio::test]
async fn metadata_refused_with_each_code_ends_in_time() {
    walk(Api::Metadata, Reply::Error).await;
}

#[tokio::test]
async fn offsets_refused_with_each_code_end_in_time() {
    walk(Api::ListOffsets, Reply::ItemError).await;
}

#[tokio::test]
async fn partitions_without_leaders_are_waited_for() {
    let kafka = ScriptedKafka::builder().topic("t", 3).start().unwrap();
    let client = Client::connect(impatient(&kafka)).await.unwrap();
    kafka.always(Api::Metadata, Reply::ItemError(5));
    for ask in [
        client.partitions("t").await.map(drop),
        latest(&client).await,
    ] {
        let error = ask.unwrap_err();
        assert!(error.kind().is_retryable(), "{error:?}");
    }
    kafka.behave();
    kafka.next_n(2, Api::Metadata, Reply::ItemError(5));
    latest(&client).await.unwrap();
    kafka.next(Api::Metadata, Reply::ItemError(5));
    assert_eq!(client.partitions("t").await.unwrap(), 3);
}

/// What makes a broker one to leave alone.
const BROKEN: [Reply; 14] = [
    Reply::Silence,
    Reply::Close,
    Reply::Reset,
    Reply::DoneButClose,
    Reply::CloseAfterBytes(3),
    Reply::CloseAfterBytes(9),
    Reply::StallAfterBytes(0),
    Reply::StallAfterBytes(9),
    Reply::Truncated(5),
    Reply::WrongCorrelationId,
    Reply::Length(-1),
    Reply::Length(i32::MAX),
    Reply::Garbage(1),
    Reply::Delay(Duration::from_secs(60)),
];

#[tokio::test]
async fn another_broker_is_asked_when_one_is_broken() {
    for api in [Api::ApiVersions, Api::Metadata] {
        for reply in BROKEN {
            let kafka = ScriptedKafka::builder()
                .brokers(2)
                .topic("t", 3)
                .start()
                .unwrap();
            kafka.next(api, reply);
            let begun = Instant::now();
            let client = Client::connect(settings([kafka.bootstrap()], 20_000)).await;
            let took = begun.elapsed();
            let client = client.unwrap_or_else(|error| panic!("{api:?} {reply:?}: {error:#}"));
            assert!(
                took < Duration::from_secs(8),
                "{api:?} {reply:?} took {took:?}"
            );
            // On the connection that there is, and on a new one.
            kafka.next(api, reply);
            let asked = [client.check().await, client.partitions("t").await.map(drop)];
            let took = begun.elapsed() - took;
            for outcome in asked {
                outcome.unwrap_or_else(|error| panic!("{api:?} {reply:?}: {error:#}"));
            }
            assert!(
                took < Duration::from_secs(8),
                "{api:?} {reply:?} took {took:?}"
            );
        }
    }
}

#[tokio::test]
async fn brokers_that_are_all_broken_are_not_hammered() {
    for api in [Api::ApiVersions, Api::Metadata] {
        for reply in BROKEN {
            let kafka = ScriptedKafka::builder()
                .brokers(2)
                .topic("t", 3)
                .start()
                .unwrap();
            let client = Client::connect(impatient(&kafka)).await.unwrap();
            kafka.always(api, reply);
            kafka.cut();
            let before = kafka.connections();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(400) {
                let asked = Instant::now();
                let (check, partitions) = tokio::join!(client.check(), client.partitions("t"));
                assert!(check.is_err() && partitions.is_err(), "{api:?} {reply:?}");
                assert!(
                    asked.elapsed() < Duration::from_secs(8),
                    "{api:?} {reply:?}"
                );
            }
            // Two brokers, two connections to each, at 0, 40, 120, 280 and 600 ms, and one more.
            let knocks = kafka.connections() - before;
            assert!(
                knocks <= 32,
                "{api:?} {reply:?}: {knocks} in {:?}",
                begun.elapsed()
            );
            let error = Client::connect(impatient(&kafka)).await.unwrap_err();
            assert!(error.to_string().contains("127.0.0.1:"), "{error:?}");
            kafka.behave();
            let begun = Instant::now();
            while client.partitions("t").await.is_err() {
                assert!(
                    begun.elapsed() < Duration::from_secs(10),
                    "{api:?} {reply:?}"
                );
            }
        }
    }
}
