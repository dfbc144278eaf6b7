use cqi_errors::Kind;
use cqi_testkit::{Kafka, Listener};
use futures_util::future::join_all;
use kafka_protocol::messages::MetadataRequest;
use tokio::time::Instant;

use super::*;
use crate::client::refresh;

fn question() -> MetadataRequest {
    refresh::request(std::iter::empty())
}

#[tokio::test]
async fn a_broker_answers_on_links_and_on_the_shared_connection() {
    let kafka = Kafka::start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let link = client.link(1);
    assert_eq!(link.node(), 1);
    let answer = link.send(&question(), LONG).await.unwrap();
    assert_eq!(answer.brokers.len(), 1);
    client.ask(&question(), LONG).await.unwrap();
    client.ask_node(1, &question(), LONG).await.unwrap();
    client.close().await;
    for error in [
        link.send(&question(), LONG).await.unwrap_err(),
        client.ask(&question(), LONG).await.unwrap_err(),
        client.ask_node(1, &question(), LONG).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Cancelled, "{error:#}");
    }
}

#[tokio::test]
async fn callers_share_the_one_connection_of_a_link_and_links_have_their_own() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    let before = proxy.total_connections();
    let (first, second) = (client.link(1), client.link(1));
    assert_eq!(proxy.total_connections(), before, "opened on demand");
    let question = question();
    let answers = join_all((0..20).map(|_| first.send(&question, LONG))).await;
    answers.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(proxy.total_connections(), before + 1);
    second.send(&question, LONG).await.unwrap();
    assert_eq!(proxy.total_connections(), before + 2);
    let open = proxy.open_connections();
    drop(second);
    eventually(|| async {
        let now = proxy.open_connections();
        if now == open - 1 { Ok(()) } else { Err(now) }
    })
    .await;
    first.send(&question, LONG).await.unwrap();

    proxy.cut();
    eventually(|| first.send(&question, LONG)).await;
    assert!(
        proxy.total_connections() <= before + 5,
        "{}",
        proxy.total_connections()
    );
}

#[tokio::test]
async fn a_broker_nobody_knows_is_asked_for_and_not_in_a_hurry() {
    let kafka = Kafka::start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let link = client.link(77);
    let version = client.cluster().borrow().version;
    let begun = Instant::now();
    for _ in 0..5 {
        let error = link.send(&question(), LONG).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary);
        assert!(error.to_string().contains("broker 77"), "{error:#}");
    }
    // Who does not pause is held up: 40, 80, 160 and 320 ms at least.
    assert!(
        begun.elapsed() >= Duration::from_millis(600),
        "{:?}",
        begun.elapsed()
    );
    until(&client, |cluster| cluster.version > version).await;
}

#[tokio::test]
async fn a_frozen_broker_holds_a_link_up_for_no_longer_than_its_timeout() {
    let kafka = Kafka::builder().start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let (old, new) = (client.link(1), client.link(1));
    old.send(&question(), LONG).await.unwrap();
    kafka.broker(1).freeze().unwrap();
    for link in [&old, &new, &new] {
        let begun = Instant::now();
        let error = link
            .send(&question(), Duration::from_millis(300))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
        assert!(
            (300..2000).contains(&begun.elapsed().as_millis()),
            "{:?}",
            begun.elapsed()
        );
    }
    kafka.broker(1).thaw().unwrap();
    let question = question();
    for link in [old, new] {
        eventually(|| link.send(&question, LONG)).await;
    }
}

#[tokio::test]
async fn a_link_finds_its_broker_again_after_a_restart() {
    let kafka = Kafka::builder().start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let link = client.link(1);
    link.send(&question(), LONG).await.unwrap();
    kafka.broker(1).kill().unwrap();
    let error = link.send(&question(), LONG).await.unwrap_err();
    assert!(error.kind().is_retryable(), "{error:?}");
    kafka.broker(1).restart().await.unwrap();
    let question = question();
    eventually(|| link.send(&question, LONG)).await;
    let version = client.cluster().borrow().version;
    client.refresh();
    until(&client, |cluster| cluster.version > version).await;
}
