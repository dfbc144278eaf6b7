//! What `connect` does when it cannot: errors for what is wrong for good, patience with the rest.

use std::time::Instant;

use cqi_config::Secret;
use cqi_errors::{Error, Kind};
use cqi_testkit::{Proxy, RedisCluster};

use super::*;

/// The error of a connect that fails at once, as a person reads it.
async fn refused(config: CacheConfig) -> String {
    let begin = Instant::now();
    let error = Cache::connect(&config).await.expect_err("connects");
    assert!(begin.elapsed() < config.connect_timeout + LENIENCY);
    assert_eq!(error.kind(), Kind::Permanent, "{error:?}");
    let text = text(&error);
    for secret in ["hunter2", "swordfish"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

fn text(error: &Error) -> String {
    format!("{error} {error:?}")
}

#[track_caller]
fn assert_names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[tokio::test]
async fn what_is_wrong_for_good_is_an_error_that_names_the_host_and_the_setting() {
    let redis = Redis::builder().password("hunter2").start().await.unwrap();
    let address = redis.address();
    let right = CacheConfig {
        password: Secret::new("hunter2"),
        ..config(&redis)
    };
    let wrong = CacheConfig {
        password: Secret::new("swordfish"),
        ..right.clone()
    };
    assert_names(
        &refused(wrong).await,
        &[&address, "cache.password", "WRONGPASS"],
    );
    let none = config(&redis);
    assert_names(
        &refused(none).await,
        &[&address, "set cache.password", "NOAUTH"],
    );
    let unknown = CacheConfig {
        username: "nobody".to_owned(),
        ..right.clone()
    };
    assert_names(&refused(unknown).await, &[&address, "cache.username"]);
    let database = CacheConfig {
        database: 99,
        ..right.clone()
    };
    assert_names(
        &refused(database).await,
        &[&address, "cache.database", "99"],
    );
    let cluster = CacheConfig {
        backend: CacheBackend::RedisCluster,
        ..right.clone()
    };
    assert_names(&refused(cluster).await, &[&address, "cache.backend"]);
    let sentinel = CacheConfig {
        backend: CacheBackend::Sentinel,
        sentinel_password: Secret::new("hunter2"),
        ..right
    };
    assert_names(
        &refused(sentinel).await,
        &[&address, "no sentinel", "cache.backend"],
    );
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let of = async |config: CacheConfig| Cache::connect(&config).await.unwrap_err();
    let two = CacheConfig {
        hosts: vec!["a:1".to_owned(), "b:1".to_owned()],
        ..config_of("a:1")
    };
    assert_eq!(of(two).await.field(), Some("cache.hosts"));
    let url = config_of("redis://app:hunter2@h:1");
    let error = of(url).await;
    assert_eq!(error.field(), Some("cache.hosts"));
    assert!(!text(&error).contains("hunter2"));
    let cluster = CacheConfig {
        backend: CacheBackend::RedisCluster,
        database: 1,
        ..config_of("a:1")
    };
    assert_eq!(of(cluster).await.field(), Some("cache.database"));
    let file = CacheConfig {
        tls: true,
        tls_root_cert: Some("/nowhere/ca.pem".into()),
        ..config_of("a:1")
    };
    assert_eq!(of(file).await.field(), Some("cache.tls_root_cert"));
}

#[tokio::test]
async fn tls_is_verified_and_its_absence_found_out() {
    let tls = Redis::builder().tls().start().await.unwrap();
    let good = CacheConfig {
        tls: true,
        tls_root_cert: Some(tls.ca_file()),
        ..config(&tls)
    };
    let cache = Cache::connect(&good).await.unwrap();
    cache.set(&key(1), &blob("over tls"), LONG).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap(), Some(blob("over tls")));

    let untrusted = CacheConfig {
        tls_root_cert: None,
        ..good.clone()
    };
    // Where the system has no authorities at all, that is said instead.
    match Cache::connect(&untrusted).await.unwrap_err() {
        error if error.kind() == Kind::InvalidInput => {}
        error => assert_names(&text(&error), &[&tls.address(), "cache.tls_root_cert"]),
    }
    let other = Redis::builder()
        .tls_for_host("redis.example")
        .start()
        .await
        .unwrap();
    let stranger = CacheConfig {
        tls_root_cert: Some(other.ca_file()),
        ..good.clone()
    };
    assert_names(
        &refused(stranger.clone()).await,
        &[&tls.address(), "authority"],
    );
    let misnamed = CacheConfig {
        hosts: vec![other.address()],
        ..stranger
    };
    assert_names(
        &refused(misnamed).await,
        &[&other.address(), "another name"],
    );

    assert_names(&refused(config(&tls)).await, &["set cache.tls to true"]);
    let plain = Redis::start().await.unwrap();
    let at_plain = CacheConfig {
        hosts: vec![plain.address()],
        ..good
    };
    assert_names(&refused(at_plain).await, &["set cache.tls to false"]);
    let strict = Redis::builder()
        .tls_client_certificate_required()
        .start()
        .await
        .unwrap();
    let without = CacheConfig {
        tls: true,
        tls_root_cert: Some(strict.ca_file()),
        ..config(&strict)
    };
    assert_names(&refused(without).await, &["client certificate"]);
}

#[tokio::test]
async fn sentinels_that_cannot_help_say_why() {
    let sentinels = Redis::builder()
        .password("hunter2")
        .sentinel_password("swordfish")
        .start_sentinels()
        .await
        .unwrap();
    let good = sentinel_config(&sentinels, "hunter2", "swordfish");
    let cache = Cache::connect(&good).await.unwrap();
    cache.set(&key(1), &blob("found"), LONG).await.unwrap();

    let service = CacheConfig {
        sentinel_service: "other".to_owned(),
        ..good.clone()
    };
    assert_names(
        &refused(service).await,
        &["other", "cache.sentinel_service"],
    );
    let wrong = CacheConfig {
        sentinel_password: Secret::new("wrong"),
        ..good.clone()
    };
    assert_names(&refused(wrong).await, &["cache.sentinel_password"]);
    let none = CacheConfig {
        sentinel_password: Secret::default(),
        ..good.clone()
    };
    assert_names(&refused(none).await, &["cache.sentinel_password"]);
    let redis = CacheConfig {
        password: Secret::new("wrong"),
        ..good
    };
    assert_names(&refused(redis).await, &["cache.password"]);
}

#[tokio::test]
async fn the_first_host_may_be_down() {
    let cluster = RedisCluster::start().await.unwrap();
    let dead = Proxy::to(("127.0.0.1", 1)).start().await.unwrap();
    dead.refuse();
    let hosts = vec![dead.addr().to_string(), cluster.nodes()[1].address()];
    let config = CacheConfig {
        backend: CacheBackend::RedisCluster,
        hosts,
        ..config_of("")
    };
    let cache = Cache::connect(&config).await.unwrap();
    cache.set(&key(1), &blob("found"), LONG).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap(), Some(blob("found")));
}

#[tokio::test]
async fn a_node_of_a_cluster_is_not_a_single_server() {
    let cluster = RedisCluster::start().await.unwrap();
    let owner = cluster.primary_of(key(1).to_string()).await.unwrap();
    let other = cluster
        .nodes()
        .iter()
        .find(|node| node.address() != owner.address())
        .unwrap();
    let cache = connect(other).await;
    let error = cache.get::<Blob>(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert_names(&text(&error), &[&other.address(), "redis-cluster"]);
}

/// A service starts without its cache, and has it as soon as it is there.
#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_waited_for_in_the_background() {
    let redis = Redis::start().await.unwrap();
    let proxy = Proxy::to((redis.host().to_owned(), redis.port()))
        .start()
        .await
        .unwrap();
    let config = CacheConfig {
        connect_timeout: Duration::from_millis(300),
        ..config_of(proxy.addr().to_string())
    };
    proxy.refuse();
    for freeze in [false, true] {
        if freeze {
            proxy.pass();
            proxy.freeze();
        }
        let begin = Instant::now();
        let cache = Cache::connect(&config).await.unwrap();
        assert!(begin.elapsed() < config.connect_timeout + LENIENCY);
        let begin = Instant::now();
        let error = cache.get::<Blob>(&key(1)).await.unwrap_err();
        assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
        assert_eq!(error.kind(), Kind::Temporary);
        assert_names(&text(&error), &[&proxy.addr().to_string()]);
        let error = cache.check().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary);
        proxy.pass();
        back(&cache).await;
    }
}

/// One address of the loopback is enough where the machine has IPv6.
#[tokio::test]
async fn an_ipv6_address_has_brackets() {
    let redis = Redis::builder()
        .private()
        .setting("bind", "127.0.0.1 -::1")
        .start()
        .await
        .unwrap();
    let port = redis.port();
    if tokio::net::TcpStream::connect(("::1", port)).await.is_err() {
        return;
    }
    let cache = Cache::connect(&config_of(format!("[::1]:{port}")))
        .await
        .unwrap();
    cache.set(&key(1), &blob("six"), LONG).await.unwrap();
}

/// Before version 6 the server repeats the password that it does not understand.
#[tokio::test]
async fn a_server_that_is_too_old_does_not_betray_the_password() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = socket.read(&mut request).await;
            let answer = "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, \
                          `default`, `hunter2`, \r\n";
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let config = CacheConfig {
        password: Secret::new("hunter2"),
        ..config_of(address)
    };
    assert_names(&refused(config).await, &["too old", "version 6"]);
}
