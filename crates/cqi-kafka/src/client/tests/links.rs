use cqi_errors::Kind;
use cqi_testkit::{Kafka, Listener, Proxy};
use futures_util::future::join_all;
use kafka_protocol::messages::MetadataRequest;
use tokio::time::Instant;

use super::*;
use crate::client::{Host, refresh};

fn question() -> MetadataRequest {
    refresh::request(std::iter::empty())
}

#[tokio::test]
async fn a_broker_answers_on_links_and_on_the_shared_connection() {
    let kafka = Kafka::start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let link = client.link(1);
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
            (300..5000).contains(&begun.elapsed().as_millis()),
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

#[tokio::test]
async fn callers_who_waited_for_an_attempt_share_its_failure() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    settings.connection.connect_timeout = Duration::from_millis(500);
    let client = Client::connect(settings).await.unwrap();
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    // What it tries by itself would be counted as well.
    client.inner.task.lock().await.shutdown().await;
    proxy.freeze();
    let (begun, before) = (Instant::now(), proxy.total_connections());
    let (link, question) = (client.link(1), question());
    let outcomes = join_all((0..20).map(|_| link.send(&question, LONG))).await;
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(proxy.total_connections(), before + 1);
}

#[tokio::test]
async fn attempts_given_up_halfway_do_not_come_faster() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    client.inner.task.lock().await.shutdown().await;
    proxy.freeze();
    let (begun, before) = (Instant::now(), proxy.total_connections());
    let (link, question) = (client.link(1), question());
    while begun.elapsed() < Duration::from_secs(3) {
        link.send(&question, Duration::from_millis(20))
            .await
            .unwrap_err();
    }
    // At 0, 50, 150, 350, 750, 1,550 and 2,550 ms, less a fifth.
    let knocks = proxy.total_connections() - before;
    assert!((5..=9).contains(&knocks), "{knocks}");
}

#[tokio::test]
async fn a_broker_that_came_back_elsewhere_is_found_there() {
    let kafka = Kafka::start().await.unwrap();
    let bootstrap = kafka.bootstrap();
    let port = bootstrap.rsplit(':').next().unwrap().parse().unwrap();
    let (here, there) = (
        Proxy::to(("127.0.0.1", port)).start().await.unwrap(),
        Proxy::to(("127.0.0.1", port)).start().await.unwrap(),
    );
    let client = connect(bootstrap).await;
    // What it hears from the broker would be true.
    client.inner.task.lock().await.shutdown().await;
    let is_at = |proxy: &Proxy| {
        client.inner.shared.cluster.send_modify(|cluster| {
            let name = "127.0.0.1".into();
            let host = Host {
                name,
                port: proxy.port(),
            };
            Arc::make_mut(cluster).brokers.insert(77, host);
        });
    };
    is_at(&here);
    let (link, question) = (client.link(77), question());
    link.send(&question, LONG).await.unwrap();
    assert_eq!(
        (here.total_connections(), there.total_connections()),
        (1, 0)
    );
    here.refuse();
    here.cut();
    is_at(&there);
    eventually(|| link.send(&question, LONG)).await;
    assert_eq!(there.total_connections(), 1);
}

#[tokio::test]
async fn a_connection_that_broke_has_the_cluster_asked() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    let (link, question) = (client.link(1), question());
    link.send(&question, LONG).await.unwrap();
    let refreshes = || client.inner.shared.wishes.borrow().refreshes;
    assert_eq!(refreshes(), 0);
    proxy.cut();
    // Be it noticed by the request or before it.
    eventually(|| link.send(&question, LONG)).await;
    assert!(refreshes() > 0);
    let version = client.cluster().borrow().version;
    assert!(version > 0);
    proxy.freeze();
    let before = refreshes();
    link.send(&question, Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(refreshes() > before);
    proxy.refuse();
    let before = refreshes();
    client.link(1).send(&question, LONG).await.unwrap_err();
    assert!(refreshes() > before, "one that was never open");
}

#[tokio::test]
async fn who_has_little_time_does_not_end_what_others_wait_for() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    let before = proxy.total_connections();
    proxy.freeze();
    let question = question();
    let patient = client.ask_node(1, &question, LONG);
    let hasty = async {
        for timeout in [1, 50, 100] {
            let timeout = Duration::from_millis(timeout);
            let error = client.ask_node(1, &question, timeout).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
            assert!(error.to_string().contains(&kafka.bootstrap()), "{error:#}");
        }
        proxy.pass();
    };
    let (answer, ()) = tokio::join!(patient, hasty);
    answer.unwrap();
    assert_eq!(proxy.total_connections(), before);
}

#[tokio::test]
async fn who_answered_too_late_is_disconnected_and_its_other_callers_are_answered() {
    let kafka = Kafka::start().await.unwrap();
    let bootstrap = kafka.bootstrap();
    let port = bootstrap.rsplit(':').next().unwrap().parse().unwrap();
    let slow = Proxy::to(("127.0.0.1", port)).start().await.unwrap();
    let client = connect(bootstrap).await;
    let host = |port| Host {
        name: "127.0.0.1".into(),
        port,
    };
    let (hosts, question) = (vec![host(slow.port()), host(port)], question());
    let health = &client.inner.shared.health;
    let deadline = Instant::now() + LONG;
    let asked = health.ask_host(&hosts[0], &question, deadline).await;
    asked.unwrap();
    slow.freeze();
    // The open one is asked first.
    let other = health.ask_host(&hosts[0], &question, deadline);
    let race = async {
        let stagger = Duration::from_millis(50);
        let answer = health.ask(&question, hosts.clone(), stagger, deadline);
        answer.await.unwrap();
        slow.pass();
    };
    let (other, ()) = tokio::join!(other, race);
    other.unwrap();
    eventually(|| async {
        match slow.open_connections() {
            0 => Ok(()),
            open => Err(open),
        }
    })
    .await;
    assert_eq!(slow.total_connections(), 1);
}
