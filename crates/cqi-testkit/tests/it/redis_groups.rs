//! Clusters, and servers that sentinels watch.

use std::collections::HashSet;
use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::{Redis, RedisCluster, RedisSentinels, Reply};
use tokio::time::{Instant, timeout};

async fn set(server: &Redis, key: &str) {
    server.command(["SET", key, "value"]).await.unwrap();
    let replicas = server.command(["WAIT", "1", "5000"]).await.unwrap();
    assert_eq!(replicas, Reply::Integer(1));
}

async fn get(server: &Redis, key: &str) -> Reply {
    server.command(["GET", key]).await.unwrap()
}

fn value() -> Reply {
    Reply::Bytes(b"value".to_vec())
}

#[tokio::test]
async fn a_cluster_serves_every_slot() {
    let cluster = Redis::builder().password("se cret").start_cluster();
    let cluster = cluster.await.unwrap();
    assert_eq!(cluster.nodes().len(), 6);
    let ports: Vec<u16> = cluster.nodes().iter().map(Redis::port).collect();
    let nodes: String = ports[1..]
        .iter()
        .map(|port| format!("&node=127.0.0.1:{port}"))
        .collect();
    let url = format!(
        "redis-cluster://default:se%20cret@127.0.0.1:{}?{}",
        ports[0],
        &nodes[1..]
    );
    assert_eq!(cluster.url(), url);

    let mut owners = HashSet::new();
    for number in 0..30 {
        let key = format!("key {number}");
        let owner = cluster.primary_of(&key).await.unwrap();
        set(&owner, &key).await;
        owners.insert(owner.port());
        for node in &cluster.nodes()[..3] {
            let moved = node.command(["GET", &key]).await;
            assert_eq!(moved.is_ok(), node.port() == owner.port(), "{moved:?}");
        }
    }
    assert_eq!(owners, ports[..3].iter().copied().collect());
}

#[tokio::test]
async fn a_cluster_fails_over_and_takes_the_dead_node_back() {
    let cluster = RedisCluster::start().await.unwrap();
    let primary = cluster.primary_of("key").await.unwrap();
    set(&primary, "key").await;

    let began = Instant::now();
    let dead = cluster.fail_over("key").await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(dead.port(), primary.port());
    let heir = cluster.primary_of("key").await.unwrap();
    assert_ne!(heir.port(), dead.port());
    assert_eq!(get(&heir, "key").await, value());

    dead.restart().await.unwrap();
    let old = cluster.switch_over("key").await.unwrap();
    assert_eq!(old.port(), heir.port());
    let back = cluster.primary_of("key").await.unwrap();
    assert_eq!(back.port(), dead.port());
    assert_eq!(get(&back, "key").await, value());
}

#[tokio::test]
async fn a_cluster_replaces_a_frozen_node_by_itself() {
    let cluster = RedisCluster::start().await.unwrap();
    let frozen = cluster.primary_of("key").await.unwrap();
    frozen.freeze().unwrap();
    let replaced =
        async { while cluster.primary_of("key").await.unwrap().port() == frozen.port() {} };
    timeout(Duration::from_secs(20), replaced).await.unwrap();
    frozen.thaw().unwrap();
    let heir = cluster.primary_of("key").await.unwrap();
    set(&heir, "key").await;
}

#[tokio::test]
async fn sentinels_replace_a_dead_primary() {
    let builder = Redis::builder()
        .password("se=cret")
        .sentinel_password("other#%");
    let set_of_servers: RedisSentinels = builder.start_sentinels().await.unwrap();
    let servers = set_of_servers.servers();
    let primary = set_of_servers.primary().await.unwrap();
    assert_eq!(primary.port(), servers[0].port());
    set(&primary, "key").await;
    for sentinel in set_of_servers.sentinels() {
        let command = ["SENTINEL", "CKQUORUM", set_of_servers.name()];
        let answer = sentinel.command(command).await.unwrap();
        assert!(
            answer.text().unwrap().starts_with("OK 3 usable"),
            "{answer:?}"
        );
    }

    let began = Instant::now();
    let dead = set_of_servers.fail_over().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(dead.port(), primary.port());
    let heir = set_of_servers.primary().await.unwrap();
    assert_eq!(heir.port(), servers[1].port());
    assert_eq!(get(&heir, "key").await, value());

    // A sentinel that comes back knows who is the primary now.
    let sentinel = &set_of_servers.sentinels()[0];
    sentinel.restart().await.unwrap();
    assert_eq!(set_of_servers.primary().await.unwrap().port(), heir.port());

    dead.restart().await.unwrap();
    let old = set_of_servers.switch_over().await.unwrap();
    assert_eq!(old.port(), heir.port());
    assert_eq!(get(&dead, "key").await, value());
}

#[tokio::test]
async fn sentinels_outlive_one_of_them() {
    let set_of_servers = RedisSentinels::start().await.unwrap();
    set_of_servers.sentinels()[2].kill().unwrap();
    let dead = set_of_servers.fail_over().await.unwrap();
    assert_eq!(dead.port(), set_of_servers.servers()[0].port());
}

#[tokio::test]
async fn groups_that_do_not_start_say_why() {
    let broken = || Redis::builder().setting("maxmemory", "nonsense");
    for error in [
        broken().start_cluster().await.unwrap_err(),
        broken().start_sentinels().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Permanent);
        assert!(error.to_string().contains("nonsense"), "{error}");
    }
    for builder in [
        Redis::builder().password("se cret"),
        Redis::builder().sentinel_password("se'cret"),
    ] {
        let error = builder.start_sentinels().await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    }
}
