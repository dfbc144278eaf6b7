//! Three brokers of which some, or all, go away.

use std::time::Instant;

use cqi_kafka::{Client, ClientSettings, Isolation, OffsetSpec, TopicPartition};
use cqi_testkit::{Kafka, KafkaBroker};
use futures_util::future::join_all;

use super::*;

async fn three() -> Kafka {
    let kafka = Kafka::builder().brokers(3).start().await.unwrap();
    kafka.create_topic("led", 6, 3).await.unwrap();
    kafka
}

fn partitions() -> impl Iterator<Item = TopicPartition> {
    (0..6).map(|number| TopicPartition::new("led", number))
}

/// Asks the leaders of all partitions.
async fn ask(client: &Client) -> cqi_errors::Result<usize> {
    let offsets = client.offsets(partitions(), OffsetSpec::Latest, Isolation::default());
    Ok(offsets.await?.len())
}

#[tokio::test]
async fn leaders_are_followed_when_a_broker_dies_or_freezes() {
    let kafka = three().await;
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    settings.request_timeout = Duration::from_secs(20);
    let client = Client::connect(settings).await.unwrap();
    assert_eq!(ask(&client).await.unwrap(), 6);

    kafka.broker(1).kill().unwrap();
    let begun = Instant::now();
    assert_eq!(ask(&client).await.unwrap(), 6);
    println!("offsets {:?} after a leader was killed", begun.elapsed());
    client.check().await.unwrap();
    assert_eq!(client.partitions("led").await.unwrap(), 6);
    kafka.broker(1).restart().await.unwrap();

    kafka.broker(2).freeze().unwrap();
    let begun = Instant::now();
    client.check().await.unwrap();
    let checked = begun.elapsed();
    assert!(checked < Duration::from_secs(8), "{checked:?}");
    assert_eq!(ask(&client).await.unwrap(), 6);
    println!(
        "check {checked:?}, offsets {:?} after a leader was frozen",
        begun.elapsed()
    );
    kafka.broker(2).thaw().unwrap();
    assert_eq!(ask(&client).await.unwrap(), 6);
}

#[tokio::test]
async fn all_brokers_may_die_and_come_back() {
    let kafka = three().await;
    // Of the three, the client is told of one.
    let first = kafka.bootstrap().split(',').next().unwrap().to_owned();
    let mut settings = settings([first], 5000);
    settings.request_timeout = LONG;
    let client = Client::connect(settings).await.unwrap();
    assert_eq!(ask(&client).await.unwrap(), 6);
    for broker in kafka.brokers() {
        broker.kill().unwrap();
    }
    let begun = Instant::now();
    let error = client.check().await.unwrap_err();
    assert!(error.kind().is_retryable(), "{error:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );

    let asked = tokio::spawn({
        let client = client.clone();
        async move { ask(&client).await }
    });
    let restarts = kafka.brokers().iter().map(KafkaBroker::restart);
    join_all(restarts)
        .await
        .into_iter()
        .for_each(Result::unwrap);
    let begun = Instant::now();
    assert_eq!(asked.await.unwrap().unwrap(), 6);
    println!("offsets {:?} after all brokers were back", begun.elapsed());
    client.check().await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn the_bootstrap_list_is_asked_again_when_nobody_else_answers() {
    // The same address leads to one cluster, and then to another whose brokers are elsewhere.
    let (first, second) = (Kafka::builder().start(), Kafka::builder().start());
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    second.create_topic("here", 1, 1).await.unwrap();
    let moving = Moving::bind(first.bootstrap()).await;
    let client = Client::connect(settings([moving.address()], 5000))
        .await
        .unwrap();
    client.check().await.unwrap();
    first.broker(1).kill().unwrap();
    moving.lead_to(second.bootstrap());
    let begun = Instant::now();
    client.check().await.unwrap();
    assert_eq!(client.partitions("here").await.unwrap(), 1);
    let here = [TopicPartition::new("here", 0)];
    let offsets = client.offsets(here, OffsetSpec::Earliest, Isolation::default());
    offsets.await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}
