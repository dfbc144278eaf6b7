//! A Redis that is of no use: what is loaded is returned all the same.

use std::time::Instant;

use cqi_config::Secret;
use cqi_errors::Kind;
use tokio::task::JoinSet;

use super::*;

/// Of one command. A call that waits for two has paid twice.
const BOUND: Duration = Duration::from_secs(1);
const TWICE: Duration = Duration::from_secs(2);

async fn connect(server: &Redis, username: &str) -> Cache {
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        username: username.to_owned(),
        password: Secret::new("pw"),
        tls: false,
        command_timeout: BOUND,
        ..CacheConfig::default()
    };
    Cache::connect(&config).await.unwrap()
}

async fn load(cache: &Cache) -> Price {
    let loader = || async { Ok(price(1.0)) };
    cache.get_or_load(&key(), MINUTE, loader).await.unwrap()
}

async fn restricted(rights: &str) -> Redis {
    let server = Redis::builder().user("service", "pw", rights);
    server.start().await.unwrap()
}

#[tokio::test]
async fn a_dead_server_fails_no_call() {
    let server = restricted("~* +@all").await;
    let cache = connect(&server, "service").await;
    load(&cache).await;
    server.kill().unwrap();
    for _ in 0..20 {
        let begin = Instant::now();
        load(&cache).await;
        assert!(begin.elapsed() < TWICE, "{:?}", begin.elapsed());
    }
    let status = cache.status();
    // One lookup for each call, and no attempt to store.
    assert_eq!((status.loads, status.errors, status.not_kept), (21, 20, 20));
    server.restart().await.unwrap();
    let back = async {
        while cache
            .get::<Price>(&key())
            .await
            .unwrap_or_default()
            .is_none()
        {
            load(&cache).await;
        }
    };
    tokio::time::timeout(LONG, back).await.unwrap();
}

/// On one thread, where no caller comes late between its lookup and the flight.
#[tokio::test]
async fn a_frozen_server_costs_its_bound_once_and_callers_still_share() {
    const CALLERS: u64 = 200;
    let server = restricted("~* +@all").await;
    let cache = connect(&server, "service").await;
    server.freeze().unwrap();
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (cache, own) = (cache.clone(), cache.clone());
        callers.spawn(async move {
            let loader = move || async move {
                until(|| own.status().errors == CALLERS).await;
                Ok(price(1.0))
            };
            cache.get_or_load(&key(), MINUTE, loader).await.unwrap()
        });
    }
    callers.join_all().await;
    let took = begin.elapsed();
    server.thaw().unwrap();
    assert!(took < TWICE, "{took:?}");
    let status = cache.status();
    assert_eq!((status.loads, status.errors), (1, CALLERS));
}

/// Another call's load has landed since, but a server that has just failed is not asked again.
#[tokio::test]
async fn a_caller_that_comes_late_does_not_pay_twice_either() {
    let server = restricted("~* +@all").await;
    let cache = connect(&server, "service").await;
    server.freeze().unwrap();
    let mut late = std::pin::pin!(load(&cache));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(late.as_mut().poll(&mut cx).is_pending());
    load(&cache).await;
    late.await;
    server.thaw().unwrap();
    let status = cache.status();
    assert_eq!((status.loads, status.errors, status.not_kept), (2, 2, 2));
}

#[tokio::test]
async fn a_server_that_refuses_to_store_fails_no_call() {
    let server = restricted("~* +@all -set").await;
    let cache = connect(&server, "service").await;
    for n in 1..=3 {
        assert_eq!(load(&cache).await, price(1.0));
        assert_eq!((cache.status().loads, cache.status().not_kept), (n, n));
    }
    let error = cache.set(&key(), &price(1.0), MINUTE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
}

#[tokio::test]
async fn a_server_that_refuses_to_read_fails_no_call() {
    let server = restricted("~* +@all -get -getrange -mget").await;
    let cache = connect(&server, "service").await;
    for n in 1..=3 {
        assert_eq!(load(&cache).await, price(1.0));
        let status = cache.status();
        assert_eq!((status.loads, status.errors, status.not_kept), (n, n, n));
    }
}

#[tokio::test]
async fn a_full_server_fails_no_call() {
    let server = Redis::builder().user("service", "pw", "~* +@all");
    let server = server
        .setting("maxmemory-policy", "noeviction")
        .start()
        .await
        .unwrap();
    let cache = connect(&server, "service").await;
    server
        .command(["CONFIG", "SET", "maxmemory", "1"])
        .await
        .unwrap();
    assert_eq!(load(&cache).await, price(1.0));
    assert_eq!(cache.status().not_kept, 1);
    server
        .command(["CONFIG", "SET", "maxmemory", "0"])
        .await
        .unwrap();
    load(&cache).await;
    load(&cache).await;
    assert_eq!((cache.status().loads, cache.status().hits), (2, 1));
}
