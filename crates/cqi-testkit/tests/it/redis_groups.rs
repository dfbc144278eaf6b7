//! Clusters, and servers that sentinels watch.

use cqi_testkit::{Redis, RedisCluster, RedisSentinels};

#[tokio::test]
async fn a_cluster_fails_over_and_takes_the_dead_node_back() {
    let cluster = RedisCluster::start().await.unwrap();
    let primary = cluster.primary_of("key").await.unwrap();
    primary.command(["SET", "key", "value"]).await.unwrap();
    let replicas = primary.command(["WAIT", "1", "5000"]).await.unwrap();
    assert_eq!(replicas.integer(), Some(1));

    let dead = cluster.fail_over("key").await.unwrap();
    assert_eq!(dead.port(), primary.port());
    let heir = cluster.primary_of("key").await.unwrap();
    assert_ne!(heir.port(), dead.port());
    let value = heir.command(["GET", "key"]).await.unwrap();
    assert_eq!(value.text(), Some("value"));

    dead.restart().await.unwrap();
    let old = cluster.switch_over("key").await.unwrap();
    assert_eq!(old.port(), heir.port());
    let back = cluster.primary_of("key").await.unwrap();
    assert_eq!(back.port(), dead.port());
    let value = back.command(["GET", "key"]).await.unwrap();
    assert_eq!(value.text(), Some("value"));
}

#[tokio::test]
async fn sentinels_replace_a_dead_primary() {
    let builder = Redis::builder()
        .password("se cret")
        .sentinel_password("an other");
    let set: RedisSentinels = builder.start_sentinels().await.unwrap();
    let primary = set.primary().await.unwrap();
    assert_eq!(primary.port(), set.servers()[0].port());
    primary.command(["SET", "key", "value"]).await.unwrap();
    primary.command(["WAIT", "1", "5000"]).await.unwrap();

    let dead = set.fail_over().await.unwrap();
    assert_eq!(dead.port(), primary.port());
    let heir = set.primary().await.unwrap();
    assert_eq!(heir.port(), set.servers()[1].port());
    let value = heir.command(["GET", "key"]).await.unwrap();
    assert_eq!(value.text(), Some("value"));

    dead.restart().await.unwrap();
    let old = set.switch_over().await.unwrap();
    assert_eq!(old.port(), heir.port());
}
