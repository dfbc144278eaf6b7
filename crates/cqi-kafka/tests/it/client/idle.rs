//! Nothing spins, whatever state the cluster is in.

use std::fs;
use std::time::Instant;

use cqi_kafka::{Client, ClientSettings};
use cqi_testkit::{Kafka, Listener};

use super::*;

/// What this thread has used of a processor; the client's tasks run on it.
fn used() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn an_idle_client_rests() {
    let kafka = Kafka::start().await.unwrap();
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    client.check().await.unwrap();
    let before = used();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = used() - before;
    println!("idle for 3 s: {used:?} of a processor");
    assert!(used < Duration::from_millis(30), "{used:?}");
}

#[tokio::test]
async fn a_client_whose_brokers_are_down_knocks_once_a_second() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    client.check().await.unwrap();
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    kafka.broker(1).kill().unwrap();
    // From here on the proxy accepts and closes.
    let (begun, knocks, before) = (Instant::now(), proxy.total_connections(), used());
    let mut failures = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        // Callers who do not pause are held up as well.
        let (check, partitions) = tokio::join!(client.check(), client.partitions("a"));
        assert!(check.unwrap_err().kind().is_retryable());
        assert!(partitions.unwrap_err().kind().is_retryable());
        failures += 1;
    }
    let (knocks, used) = (proxy.total_connections() - knocks, used() - before);
    println!("down for 8 s: {failures} failures, {knocks} connections, {used:?} of a processor");
    // Two connections, each at 0.05, 0.1, 0.2, 0.4, 0.8 and then every 1 s, less a fifth.
    assert!((10..=32).contains(&knocks), "{knocks}");
    assert!(used < Duration::from_millis(160), "{used:?}");
}

#[tokio::test]
async fn a_client_whose_brokers_are_frozen_waits() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    settings.connection.connect_timeout = Duration::from_millis(500);
    settings.request_timeout = Duration::from_millis(500);
    settings.metadata_max_age = Duration::from_millis(100);
    let client = Client::connect(settings).await.unwrap();
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    proxy.freeze();
    let (begun, knocks, before) = (Instant::now(), proxy.total_connections(), used());
    while begun.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        client.check().await.unwrap_err();
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
    }
    let (knocks, used) = (proxy.total_connections() - knocks, used() - before);
    println!("frozen for 4 s: {knocks} connections, {used:?} of a processor");
    assert!(knocks <= 20, "{knocks}");
    assert!(used < Duration::from_millis(80), "{used:?}");
    proxy.pass();
    let begun = Instant::now();
    while client.check().await.is_err() {
        assert!(begun.elapsed() < LONG);
    }
}
