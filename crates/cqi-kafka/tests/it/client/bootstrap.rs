//! The first connection, over a list of hosts in all states.

use std::time::Instant;

use cqi_errors::Kind;
use cqi_kafka::{Client, ClientSettings, Isolation, OffsetSpec, Sasl, TopicPartition};
use cqi_testkit::{Kafka, Listener};
use tokio::runtime::Handle;

use super::*;

#[tokio::test]
async fn dead_and_silent_hosts_cost_a_moment() {
    let kafka = Kafka::start().await.unwrap();
    let (dead, other) = (Dead::bind(), Dead::bind());
    let silent = [
        Silent::bind().await,
        Silent::bind().await,
        Silent::bind().await,
    ];
    let mut hosts = vec![dead.address(), other.address()];
    hosts.extend(silent.iter().map(Silent::address));
    hosts.push(kafka.bootstrap());
    for _ in 0..5 {
        let begun = Instant::now();
        let client = Client::connect(settings(hosts.clone(), 30_000))
            .await
            .unwrap();
        // Three silent ones before it, at the most.
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
        client.check().await.unwrap();
        client.close().await;
    }
}

#[tokio::test]
async fn it_is_said_of_each_host_why_it_did_not_answer() {
    let dead = Dead::bind();
    let silent = [Silent::bind().await, Silent::bind().await];
    let mut hosts: Vec<_> = silent.iter().map(Silent::address).collect();
    hosts.push(dead.address());
    let begun = Instant::now();
    let error = Client::connect(settings(hosts.clone(), 500))
        .await
        .unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    let text = format!("{error:#}");
    assert!(error.kind().is_retryable(), "{error:?}");
    for host in &hosts {
        assert!(text.contains(host), "{text}");
    }
    assert!(text.contains("refused"), "{text}");

    let error = Client::connect(settings([dead.address()], 5000))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
    let error = Client::connect(settings([silent[0].address()], 100))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    let error = Client::connect(settings(["localhost".to_owned()], 100))
        .await
        .unwrap_err();
    assert_eq!(error.field(), Some("bootstrap"), "{error:?}");
}

#[tokio::test]
async fn wrong_credentials_are_refused_at_once() {
    let kafka = Kafka::builder()
        .sasl_plain("alice", "right")
        .start()
        .await
        .unwrap();
    let silent = Silent::bind().await;
    let user = |password: &str| {
        let hosts = [
            silent.address(),
            kafka.bootstrap_of(Listener::SaslPlaintext),
        ];
        let mut settings = settings(hosts, 20_000);
        settings.connection.sasl = Some(Sasl::plain("alice", password));
        Client::connect(settings)
    };
    user("right").await.unwrap().close().await;
    let begun = Instant::now();
    let error = user("wrong").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        !format!("{error:?} {error:#}").contains("wrong"),
        "{error:?}"
    );
}

#[tokio::test]
async fn nothing_is_left_after_close() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let before = Handle::current().metrics().num_alive_tasks();
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    client.check().await.unwrap();
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    assert_eq!(proxy.open_connections(), 2, "one for checks alone");
    assert!(Handle::current().metrics().num_alive_tasks() > before);
    let clone = client.clone();
    client.close().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
    assert_eq!(clone.check().await.unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(
        clone.partitions("a").await.unwrap_err().kind(),
        Kind::Cancelled
    );
    clone.close().await;
}

#[tokio::test]
async fn close_ends_calls_that_are_under_way() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let before = Handle::current().metrics().num_alive_tasks();
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    kafka.broker(1).proxy(Listener::Plaintext).freeze();
    let latest = |topic| {
        let partition = [TopicPartition::new(topic, 0)];
        client.offsets(partition, OffsetSpec::Latest, Isolation::default())
    };
    let under_way = async {
        // The first on the connection that there is, the second on one that is not open yet, and the
        // third while it waits for what the client's task hears.
        let (partitions, check, offsets) =
            tokio::join!(client.partitions("a"), client.check(), latest("a"));
        for error in [
            partitions.unwrap_err(),
            check.unwrap_err(),
            offsets.unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Cancelled, "{error:?}");
        }
    };
    let begun = Instant::now();
    let close = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.close().await;
    };
    tokio::join!(under_way, close);
    let error = latest("b").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled, "{error:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
}

/// However short the timeout is, brokers that come after silent ones have their turn.
#[tokio::test]
async fn silent_brokers_leave_time_for_others() {
    let brokers = Kafka::builder().brokers(3).proxied().start();
    let kafka = brokers.await.unwrap();
    let client = Client::connect(settings([kafka.bootstrap()], 2000))
        .await
        .unwrap();
    for quiet in [[1, 2], [2, 3], [3, 1]] {
        let quiet = quiet.map(|node| kafka.broker(node).proxy(Listener::Plaintext));
        quiet.iter().for_each(|proxy| proxy.freeze());
        for _ in 0..3 {
            client.check().await.unwrap();
        }
        quiet.iter().for_each(|proxy| proxy.pass());
    }
}

#[tokio::test]
async fn nothing_is_left_when_the_last_clone_is_dropped() {
    let kafka = Kafka::start().await.unwrap();
    let before = Handle::current().metrics().num_alive_tasks();
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    client.check().await.unwrap();
    drop(client.clone());
    client.check().await.unwrap();
    drop(client);
    let begun = Instant::now();
    while Handle::current().metrics().num_alive_tasks() > before {
        assert!(begun.elapsed() < LONG);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_topic_has_partitions_or_is_not_there() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("counted", 7).await.unwrap();
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    assert_eq!(client.partitions(&topic).await.unwrap(), 7);
    let error = client
        .partitions(&kafka.unique("nowhere"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
    let error = client.partitions("no such name").await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error:?}");
}
