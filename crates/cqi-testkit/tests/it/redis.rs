use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::Redis;
use tokio::time::timeout;

#[tokio::test]
async fn a_killed_server_comes_back_empty_on_its_port() {
    let redis = Redis::start().await.unwrap();
    redis.command(["SET", "key", "value"]).await.unwrap();
    let reply = redis.command(["GET", "key"]).await.unwrap();
    assert_eq!(reply.text(), Some("value"));

    redis.kill().unwrap();
    let error = redis.command(["GET", "key"]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary, "{error:#}");
    assert_eq!(redis.freeze().unwrap_err().kind(), Kind::Conflict);
    redis.kill().unwrap();

    redis.restart().await.unwrap();
    assert!(redis.command(["GET", "key"]).await.unwrap().is_nil());
}

#[tokio::test]
async fn a_frozen_server_answers_when_it_is_thawed() {
    let redis = Redis::start().await.unwrap();
    redis.freeze().unwrap();
    let ping = redis.command(["PING"]);
    tokio::pin!(ping);
    timeout(Duration::from_millis(200), &mut ping)
        .await
        .unwrap_err();
    redis.thaw().unwrap();
    assert_eq!(ping.await.unwrap().text(), Some("PONG"));
}
