use cqi_testkit::Kafka;

use super::*;

#[tokio::test]
async fn a_followed_topic_is_known_at_once() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("followed", 3).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let interest = client.follow(topics(&[&topic]));
    let cluster = until(&client, |cluster| interest.is_answered(cluster)).await;
    assert_eq!(cluster.topics[&*topic].partitions.len(), 3);
    assert_eq!(client.partitions(&topic).await.unwrap(), 3);
}
