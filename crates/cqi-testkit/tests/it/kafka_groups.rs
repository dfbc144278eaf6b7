//! Several Kafka brokers, and proxies in front of brokers.

use std::time::Duration;

use cqi_testkit::{Kafka, Listener};

use crate::kafka::{each_version, led};
use crate::kafka_wire::metadata;

each_version! {
    three_brokers_outlive_the_death_of_a_leader
}

async fn three_brokers_outlive_the_death_of_a_leader(version: &str) {
    let kafka = Kafka::builder()
        .version(version)
        .brokers(3)
        .start()
        .await
        .unwrap();
    assert_eq!(kafka.bootstrap().split(',').count(), 3);
    kafka.create_topic("replicated", 3, 3).await.unwrap();
    let leader = kafka.leader("replicated", 0).await.unwrap();
    assert!((1..=3).contains(&kafka.controller().await.unwrap()));
    kafka.broker(leader).kill().unwrap();
    let moved = async {
        while led(&kafka, "replicated").await == leader {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), moved)
        .await
        .unwrap();
    assert_ne!(kafka.controller().await.unwrap(), leader);
    kafka.broker(leader).restart().await.unwrap();
    kafka.topic("later", 6).await.unwrap();
}

#[tokio::test]
async fn clients_stay_behind_proxies() {
    let kafka = Kafka::builder().proxied().private().start().await.unwrap();
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    assert_eq!(kafka.bootstrap(), proxy.addr().to_string());
    assert_eq!(proxy.total_connections(), 0);
    let advertised = metadata(&kafka.bootstrap()).unwrap();
    assert_eq!(
        advertised,
        [(1, "127.0.0.1".to_owned(), i32::from(proxy.port()))]
    );
    assert_eq!(proxy.total_connections(), 1);
    proxy.refuse();
    metadata(&kafka.bootstrap()).unwrap_err();
    // The test's own calls go beside it.
    kafka.topic("beside", 1).await.unwrap();
}
