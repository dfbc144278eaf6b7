//! Clusters and sentinels: keys of every slot, and servers that hand over to others.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cqi_errors::Kind;
use cqi_testkit::{RedisCluster, RedisSentinels, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// How long after a replica has taken over the cache is whole again: the other servers hear of it in
/// their own time.
const SOON: Duration = Duration::from_secs(3);

fn cluster_config(cluster: &RedisCluster) -> CacheConfig {
    CacheConfig {
        backend: CacheBackend::RedisCluster,
        hosts: cluster.nodes().iter().map(Redis::address).collect(),
        ..config_of("")
    }
}

/// Calls without end, each within its bound and right or failed in a way that may pass.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    fn on(cache: &Cache) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            served: Arc::default(),
            failed: Arc::default(),
            tasks: JoinSet::new(),
        };
        for task in 0..8_u64 {
            let cache = cache.clone();
            let (stop, served) = (Arc::clone(&load.stop), Arc::clone(&load.served));
            let failed = Arc::clone(&load.failed);
            load.tasks.spawn(async move {
                let mut round = task;
                while !stop.load(Ordering::Relaxed) {
                    round = round.wrapping_add(8);
                    let key = key(format!("load-{}", round % 100));
                    let begin = Instant::now();
                    let done = match round % 3 {
                        0 => cache.set(&key, &blob(key.to_string()), LONG).await,
                        1 => cache.get::<Blob>(&key).await.map(|got| {
                            assert!(got.is_none_or(|got| got == blob(key.to_string())));
                        }),
                        _ => {
                            let keys = [key.clone(), super::key("load-0"), key.clone()];
                            cache
                                .get_many::<Blob>(&keys)
                                .await
                                .map(|got| assert_eq!(got.len(), 3))
                        }
                    };
                    let bound = CacheConfig::default().command_timeout + LENIENCY;
                    assert!(begin.elapsed() < bound, "{:?}", begin.elapsed());
                    match done {
                        Ok(()) => served.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            let kinds = [Kind::Temporary, Kind::Timeout];
                            assert!(kinds.contains(&error.kind()), "{error:?}");
                            failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
        load
    }

    async fn end(self, name: &str) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let (served, failed) = (&self.served, &self.failed);
        assert!(
            served.load(Ordering::Relaxed) > 0,
            "{name}: {failed:?} calls failed, all of them"
        );
    }
}

/// Waits until every key of the load can be written and read.
async fn whole(cache: &Cache) -> Duration {
    let begin = Instant::now();
    'again: loop {
        assert!(begin.elapsed() < LONG, "not whole again");
        for at in 0..100 {
            let key = key(format!("load-{at}"));
            if cache.set(&key, &blob(key.to_string()), LONG).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue 'again;
            }
        }
        return begin.elapsed();
    }
}

#[tokio::test]
async fn a_cluster_keeps_keys_of_every_slot() {
    let cluster = RedisCluster::start().await.unwrap();
    let cache = Cache::connect(&cluster_config(&cluster)).await.unwrap();
    let entries: Vec<_> = (0..1_500)
        .map(|at| (key(at), blob(format!("value {at}"))))
        .collect();
    cache.set_many(&entries, LONG).await.unwrap();
    let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let got = cache.get_many::<Blob>(&keys).await.unwrap();
    assert_eq!(got, values.into_iter().map(Some).collect::<Vec<_>>());
    for node in &cluster.nodes()[..3] {
        let size = node.command(["DBSIZE"]).await.unwrap().integer().unwrap();
        assert!(size > 300, "one node has {size} of 1,500 keys");
    }
    for at in 0..50 {
        let versioned = key(format!("versioned-{at}"));
        assert!(
            cache
                .set_versioned(&versioned, &blob("2"), 2, LONG)
                .await
                .unwrap()
        );
        assert!(
            !cache
                .set_versioned(&versioned, &blob("1"), 1, LONG)
                .await
                .unwrap()
        );
    }
    assert_eq!(cache.delete_many(&keys).await.unwrap(), 1_500);
    cache.check().await.unwrap();
}

#[tokio::test]
async fn a_node_of_a_cluster_dies_under_load() {
    let cluster = RedisCluster::start().await.unwrap();
    let cache = Cache::connect(&cluster_config(&cluster)).await.unwrap();
    whole(&cache).await;
    let load = Load::on(&cache);
    let _killed = cluster.fail_over(key("load-0").to_string()).await.unwrap();
    let back = whole(&cache).await;
    load.end("node died").await;
    assert!(back < SOON, "{back:?}");
}

#[tokio::test]
async fn a_node_of_a_cluster_hands_over_under_load() {
    let cluster = RedisCluster::start().await.unwrap();
    let cache = Cache::connect(&cluster_config(&cluster)).await.unwrap();
    whole(&cache).await;
    let idle = Cache::connect(&cluster_config(&cluster)).await.unwrap();
    let load = Load::on(&cache);
    let _old = cluster
        .switch_over(key("load-0").to_string())
        .await
        .unwrap();
    let back = whole(&cache).await;
    load.end("node handed over").await;
    assert!(back < SOON, "{back:?}");
    // Who has heard nothing of it is sent to the new owner, and the call does not notice.
    idle.set(&key("load-0"), &blob("moved"), LONG)
        .await
        .unwrap();
    let both = [key("load-0"), key("load-1")];
    assert!(idle.get_many::<Blob>(&both).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn a_slot_moves_under_load() {
    let cluster = RedisCluster::start().await.unwrap();
    let cache = Cache::connect(&cluster_config(&cluster)).await.unwrap();
    whole(&cache).await;
    let moving = key("load-0").to_string();
    let from = cluster.primary_of(&moving).await.unwrap();
    let to = cluster.nodes()[..3]
        .iter()
        .find(|node| node.address() != from.address())
        .unwrap();
    let id = async |node: &Redis| {
        let id = node.command(["CLUSTER", "MYID"]).await.unwrap();
        String::from_utf8(id.bytes().unwrap().to_vec()).unwrap()
    };
    let (from_id, to_id) = (id(&from).await, id(to).await);
    let slot = from
        .command(["CLUSTER", "KEYSLOT", &moving])
        .await
        .unwrap()
        .integer()
        .unwrap()
        .to_string();
    let load = Load::on(&cache);
    to.command(["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id])
        .await
        .unwrap();
    from.command(["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id])
        .await
        .unwrap();
    let port = to.port().to_string();
    from.command(["MIGRATE", "127.0.0.1", &port, &moving, "0", "5000"])
        .await
        .unwrap();
    // The key has gone ahead of its slot: the old owner says ASK, and the cache waits for the rest.
    for _ in 0..20 {
        let begin = Instant::now();
        let error = cache.get::<Blob>(&key("load-0")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
        assert!(begin.elapsed() < LENIENCY, "{:?}", begin.elapsed());
    }
    for node in [to, &from] {
        node.command(["CLUSTER", "SETSLOT", &slot, "NODE", &to_id])
            .await
            .unwrap();
    }
    let back = whole(&cache).await;
    load.end("slot moved").await;
    assert!(back < SOON, "{back:?}");
    assert_eq!(cache.get(&key("load-0")).await.unwrap(), Some(blob(moving)));
}

#[tokio::test]
async fn a_cluster_may_speak_tls_and_want_a_password() {
    let builder = Redis::builder().tls().password("hunter2");
    let cluster = builder.start_cluster().await.unwrap();
    let config = CacheConfig {
        tls: true,
        tls_root_cert: Some(cluster.nodes()[0].ca_file()),
        password: Secret::new("hunter2"),
        ..cluster_config(&cluster)
    };
    let cache = Cache::connect(&config).await.unwrap();
    whole(&cache).await;
}

#[tokio::test]
async fn a_cluster_that_is_down_fails_at_once_and_comes_back() {
    let cluster = RedisCluster::start().await.unwrap();
    let cache = Cache::connect(&cluster_config(&cluster)).await.unwrap();
    let owner = cluster.primary_of(key(1).to_string()).await.unwrap();
    let slot = owner
        .command(["CLUSTER", "KEYSLOT", &key(1).to_string()])
        .await
        .unwrap();
    let slot = slot.integer().unwrap().to_string();
    for node in cluster.nodes() {
        node.command(["CLUSTER", "DELSLOTS", &slot]).await.ok();
    }
    let begin = Instant::now();
    let error = cache.set(&key(1), &blob("1"), LONG).await.unwrap_err();
    assert!(begin.elapsed() < CacheConfig::default().command_timeout + LENIENCY);
    assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
    owner.command(["CLUSTER", "ADDSLOTS", &slot]).await.unwrap();
    back(&cache).await;
}

#[tokio::test]
async fn a_frozen_node_of_a_cluster_is_replaced() {
    let cluster = RedisCluster::start().await.unwrap();
    let cache = Cache::connect(&cluster_config(&cluster)).await.unwrap();
    whole(&cache).await;
    let load = Load::on(&cache);
    let frozen = cluster.primary_of(key("load-0").to_string()).await.unwrap();
    frozen.freeze().unwrap();
    whole(&cache).await;
    frozen.thaw().unwrap();
    load.end("node froze").await;
}

#[tokio::test]
async fn a_primary_that_dies_is_replaced_by_sentinels_under_load() {
    let sentinels = RedisSentinels::start().await.unwrap();
    let cache = Cache::connect(&sentinel_config(&sentinels, "", ""))
        .await
        .unwrap();
    whole(&cache).await;
    let load = Load::on(&cache);
    let _killed = sentinels.fail_over().await.unwrap();
    let back = whole(&cache).await;
    load.end("primary died").await;
    assert!(back < SOON, "{back:?}");
}

fn is_primary(role: &Reply) -> bool {
    let role = role.array().and_then(|parts| parts.first());
    role.is_some_and(|role| role.text() == Some("master") || role.bytes() == Some(b"master"))
}

/// A sentinel of which a test decides which server it names.
async fn sentinel_that_names(named: Arc<Mutex<Redis>>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            while let Ok(read @ 1..) = socket.read(&mut request).await {
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let answer = if request.contains("SENTINEL") {
                    let (host, port) = {
                        let named = named.lock().unwrap();
                        (named.host().to_owned(), named.port().to_string())
                    };
                    let (h, p) = (host.len(), port.len());
                    format!("*2\r\n${h}\r\n{host}\r\n${p}\r\n{port}\r\n")
                } else {
                    "+PONG\r\n".to_owned()
                };
                if socket.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, server)
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_left_and_not_taken_again() {
    let servers = [
        Redis::builder().private().start().await.unwrap(),
        Redis::builder().private().start().await.unwrap(),
    ];
    let named = Arc::new(Mutex::new(servers[0].clone()));
    let (address, _sentinel) = sentinel_that_names(Arc::clone(&named)).await;
    let config = CacheConfig {
        backend: CacheBackend::Sentinel,
        ..config_of(address)
    };
    let cache = Cache::connect(&config).await.unwrap();
    cache.set(&key(1), &blob("1"), LONG).await.unwrap();
    // Unlike a sentinel, nobody cuts off the clients.
    let port = servers[1].port().to_string();
    servers[0]
        .command(["REPLICAOF", "127.0.0.1", &port])
        .await
        .unwrap();
    let begin = Instant::now();
    loop {
        let error = cache.set(&key(1), &blob("1"), LONG).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
        // The connection is given up, and the sentinel still names the old one.
        if format!("{error:?}").contains("names it as the primary") {
            break;
        }
        assert!(begin.elapsed() < SOON, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    *named.lock().unwrap() = servers[1].clone();
    assert!(back(&cache).await < SOON);
    cache.set(&key(2), &blob("2"), LONG).await.unwrap();
    let there = servers[1]
        .command(["EXISTS", &key(2).to_string()])
        .await
        .unwrap();
    assert_eq!(there.integer(), Some(1));
}

#[tokio::test]
async fn a_primary_hands_over_by_sentinels_under_load() {
    let sentinels = RedisSentinels::start().await.unwrap();
    let cache = Cache::connect(&sentinel_config(&sentinels, "", ""))
        .await
        .unwrap();
    whole(&cache).await;
    let load = Load::on(&cache);
    let old = sentinels.switch_over().await.unwrap();
    let begin = Instant::now();
    // The sentinels turn the old primary into a replica a moment after they name the new one.
    // They cut off its clients, so that a question may fail too.
    while old
        .command(["ROLE"])
        .await
        .map_or(true, |role| is_primary(&role))
    {
        assert!(begin.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let back = whole(&cache).await;
    load.end("primary handed over").await;
    assert!(back < SOON, "{back:?}");
    let primary = sentinels.primary().await.unwrap();
    let there = primary
        .command(["EXISTS", &key("load-0").to_string()])
        .await
        .unwrap();
    assert_eq!(there.integer(), Some(1));
}

#[tokio::test]
async fn sentinels_that_die_do_not_matter_until_they_are_asked() {
    let sentinels = RedisSentinels::start().await.unwrap();
    let cache = Cache::connect(&sentinel_config(&sentinels, "", ""))
        .await
        .unwrap();
    sentinels.sentinels()[0].kill().unwrap();
    cache.set(&key(1), &blob("1"), LONG).await.unwrap();
    let primary = sentinels.primary().await.unwrap();
    primary
        .command(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        .await
        .unwrap();
    assert!(back(&cache).await < Duration::from_secs(1));
}
