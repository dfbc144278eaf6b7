use std::ops::Sub as _;

use cqi_testkit::Kafka;
use tokio::time::{Instant, sleep};

use super::*;

fn partitions(cluster: &Cluster, topic: &str) -> Option<usize> {
    let topic = cluster.topics.get(topic).filter(|topic| topic.code == 0)?;
    let led = topic
        .partitions
        .iter()
        .filter(|partition| partition.leader.is_some());
    Some(led.count())
}

#[tokio::test]
async fn a_followed_topic_is_known_at_once() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("followed", 3).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let begun = Instant::now();
    let interest = client.follow(topics(&[&topic]));
    let cluster = until(&client, |cluster| interest.is_answered(cluster)).await;
    assert_eq!(partitions(&cluster, &topic), Some(3));
    assert_eq!(client.cluster().borrow().version, 2, "asked once");
    // The second one's question has been asked before.
    let other = client.follow(topics(&[&topic]));
    assert!(other.is_answered(&client.cluster().borrow()));
    drop(interest);
    client.refresh();
    let cluster = until(&client, |cluster| cluster.version == 3).await;
    assert_eq!(
        partitions(&cluster, &topic),
        Some(3),
        "somebody still follows"
    );
    drop(other);
    client.refresh();
    let cluster = until(&client, |cluster| cluster.version == 4).await;
    assert!(cluster.topics.is_empty());
    assert!(begun.elapsed() < LONG / 3);
}

#[tokio::test]
async fn a_topic_is_known_when_it_is_made_and_when_it_is_made_again() {
    let kafka = Kafka::start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let topic = kafka.unique("later");
    let _interest = client.follow(topics(&[&topic]));
    let cluster = until(&client, |cluster| cluster.topics.contains_key(&*topic)).await;
    assert_eq!(
        (cluster.topics[&*topic].code, partitions(&cluster, &topic)),
        (3, None)
    );
    kafka.create_topic(&topic, 2, 1).await.unwrap();
    until(&client, |cluster| partitions(cluster, &topic) == Some(2)).await;

    kafka.delete_topic(&topic).await.unwrap();
    client.refresh();
    until(&client, |cluster| cluster.topics[&*topic].code == 3).await;
    kafka.create_topic(&topic, 1, 1).await.unwrap();
    until(&client, |cluster| partitions(cluster, &topic) == Some(1)).await;
}

#[tokio::test]
async fn a_topic_that_was_made_again_unnoticed_is_known_by_its_new_leaders() {
    let kafka = Kafka::builder()
        .setting("broker.session.timeout.ms", "1500")
        .start()
        .await
        .unwrap();
    kafka.create_topic("again", 2, 1).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let _interest = client.follow(topics(&["again"]));
    let epoch = |cluster: &Cluster| {
        cluster
            .topics
            .get("again")?
            .partitions
            .first()?
            .leader
            .map(|l| l.epoch)
    };
    until(&client, |cluster| epoch(cluster).is_some()).await;
    // Each restart is an epoch.
    kafka.broker(1).restart().await.unwrap();
    let at_least = |least: i32| {
        move |cluster: &Arc<Cluster>| epoch(cluster).is_some_and(|epoch| epoch >= least)
    };
    client.refresh();
    until(&client, at_least(1)).await;
    let asked = client.cluster().borrow().version;
    kafka.delete_topic("again").await.unwrap();
    kafka.create_topic("again", 1, 1).await.unwrap();
    assert_eq!(
        client.cluster().borrow().version,
        asked,
        "nothing was noticed"
    );
    client.refresh();
    let cluster = until(&client, |cluster| partitions(cluster, "again") == Some(1)).await;
    assert_eq!(epoch(&cluster), Some(0));
}

#[tokio::test]
async fn added_partitions_are_known_after_a_refresh_and_when_it_is_time() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("grows", 1).await.unwrap();
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    let patient = Client::connect(settings.clone()).await.unwrap();
    settings.metadata_max_age = Duration::from_millis(200);
    let eager = Client::connect(settings).await.unwrap();
    let _interests = [&patient, &eager].map(|client| client.follow(topics(&[&topic])));
    for client in [&patient, &eager] {
        until(client, |cluster| partitions(cluster, &topic) == Some(1)).await;
    }
    kafka.add_partitions(&topic, 4).await.unwrap();
    until(&eager, |cluster| partitions(cluster, &topic) == Some(4)).await;
    assert_eq!(partitions(&patient.cluster().borrow(), &topic), Some(1));
    patient.refresh();
    until(&patient, |cluster| partitions(cluster, &topic) == Some(4)).await;
}

#[tokio::test]
async fn refreshes_are_coalesced_and_paced() {
    let kafka = Kafka::start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let begun = Instant::now();
    // Somebody who meets an error all the time and does not pause.
    while begun.elapsed() < Duration::from_secs(2) {
        client.refresh();
        tokio::task::yield_now().await;
    }
    let asked = client.cluster().borrow().version;
    // Pauses of 80 ms and more, doubled while nothing changes: after 80, 240, 560 and 1,200 ms.
    assert!((3..=7).contains(&asked), "{asked}");
    until(&client, |cluster| cluster.version > asked).await;
    let asked = client.cluster().borrow().version;
    // Long enough for one more, were there a reason.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(client.cluster().borrow().version.sub(asked), 0);
}
