use cqi_testkit::Kafka;
use cqi_errors::Kind;
use kafka_protocol::messages::MetadataRequest;

use super::*;

fn question() -> MetadataRequest {
    super::super::refresh::request(std::iter::empty())
}

#[tokio::test]
async fn a_link_reaches_its_broker() {
    let kafka = Kafka::start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let link = client.link(1);
    let answer = link.send(&question(), LONG).await.unwrap();
    assert_eq!(answer.brokers.len(), 1);
    assert_eq!(client.ask(&question(), LONG).await.unwrap().brokers.len(), 1);
    assert_eq!(client.ask_node(1, &question(), LONG).await.unwrap().brokers.len(), 1);
    client.close().await;
    let error = link.send(&question(), LONG).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}
