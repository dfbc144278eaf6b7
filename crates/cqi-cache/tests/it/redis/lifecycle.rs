//! Nothing is left of a cache that was closed or dropped, and nothing piles up in one that lives.

use std::os::fd::AsRawFd as _;

use cqi_testkit::Proxy;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::*;

/// Waits until there are as many tasks as before, and none of the connections.
async fn nothing_left(tasks: usize, proxy: &Proxy) {
    let begin = Instant::now();
    loop {
        let left = Handle::current().metrics().num_alive_tasks();
        if left <= tasks && proxy.open_connections() == 0 {
            return;
        }
        assert!(
            begin.elapsed() < LONG,
            "{left} tasks of {tasks}, {} connections",
            proxy.open_connections()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn proxied(redis: &Redis, connections: u32) -> (Proxy, CacheConfig) {
    let proxy = Proxy::to((redis.host().to_owned(), redis.port()))
        .start()
        .await
        .unwrap();
    let config = CacheConfig {
        connections,
        ..config_of(proxy.addr().to_string())
    };
    (proxy, config)
}

#[tokio::test]
async fn close_lets_calls_end_and_leaves_nothing() {
    let redis = Redis::start().await.unwrap();
    let (proxy, config) = proxied(&redis, 3).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let cache = Cache::connect(&config).await.unwrap();
    let mut calls = JoinSet::new();
    for at in 0..100 {
        let cache = cache.clone();
        calls.spawn(async move { cache.set(&key(at), &blob("x"), LONG).await });
    }
    tokio::task::yield_now().await;
    let begin = Instant::now();
    cache.close().await;
    assert!(begin.elapsed() < config.command_timeout + LENIENCY);
    calls.join_all().await;
    nothing_left(tasks, &proxy).await;
    let begin = Instant::now();
    assert!(cache.get::<Blob>(&key(1)).await.is_err());
    assert!(begin.elapsed() < AT_ONCE);
    cache.close().await;
}

#[tokio::test]
async fn close_of_a_cache_whose_server_is_frozen_or_gone_has_a_bound() {
    let redis = Redis::start().await.unwrap();
    let (proxy, config) = proxied(&redis, 5).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    for refuse in [false, true] {
        proxy.pass();
        let cache = Cache::connect(&config).await.unwrap();
        if refuse {
            proxy.refuse();
            proxy.cut();
        } else {
            proxy.freeze();
        }
        let _ = cache.get::<Blob>(&key(1)).await;
        let begin = Instant::now();
        cache.close().await;
        assert!(
            begin.elapsed() < config.command_timeout + LENIENCY,
            "{:?}",
            begin.elapsed()
        );
    }
    proxy.pass();
    nothing_left(tasks, &proxy).await;
}

#[tokio::test]
async fn the_last_handle_takes_everything_with_it() {
    let redis = Redis::start().await.unwrap();
    let (proxy, config) = proxied(&redis, 3).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let cache = Cache::connect(&config).await.unwrap();
    let clone = cache.clone();
    drop(cache);
    clone.set(&key(1), &blob("x"), LONG).await.unwrap();
    assert!(proxy.open_connections() >= 3);
    drop(clone);
    nothing_left(tasks, &proxy).await;
}

#[tokio::test]
async fn a_connect_that_is_dropped_leaves_nothing() {
    let redis = Redis::start().await.unwrap();
    let (proxy, config) = proxied(&redis, 2).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    proxy.freeze();
    for millis in [0, 1, 5, 50] {
        let bound = Duration::from_millis(millis);
        assert!(
            tokio::time::timeout(bound, Cache::connect(&config))
                .await
                .is_err()
        );
    }
    proxy.pass();
    nothing_left(tasks, &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_lost_connections_leave_nothing() {
    let redis = Redis::start().await.unwrap();
    let (proxy, config) = proxied(&redis, 25).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let cache = Cache::connect(&config).await.unwrap();
    let mut descriptors_before = 0;
    let mut resident_before = 0;
    let mut alive_before = 0;
    while cache.status().reconnects < 1_000 {
        let before = cache.status().reconnects;
        let mut calls = JoinSet::new();
        for at in 0..20 {
            let cache = cache.clone();
            calls.spawn(async move { cache.set(&key(at), &blob(vec![1; 1_000]), LONG).await });
        }
        proxy.cut();
        calls.join_all().await;
        let begin = Instant::now();
        while cache.status().reconnects < before + 25 {
            assert!(begin.elapsed() < LONG);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        back(&cache).await;
        if descriptors_before == 0 && before >= 100 {
            // Each with its short way, as at the end.
            while proxy.open_connections() < 50 {
                assert!(begin.elapsed() < LONG, "{:?}", proxy.open_connections());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            descriptors_before = descriptors();
            resident_before = resident_kib();
            alive_before = Handle::current().metrics().num_alive_tasks();
        }
    }
    let begin = Instant::now();
    loop {
        let (fds, alive) = (descriptors(), Handle::current().metrics().num_alive_tasks());
        if fds <= descriptors_before + 4 && alive <= alive_before + 4 {
            break;
        }
        assert!(begin.elapsed() < LONG, "{fds} descriptors, {alive} tasks");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let grown = resident_kib().saturating_sub(resident_before);
    assert!(
        grown < 16 * 1024,
        "{grown} KiB more after 1,000 connections"
    );
    assert!(proxy.total_connections() >= 1_000);
    cache.close().await;
    nothing_left(tasks, &proxy).await;
}

/// Each answer reaches the call that asked, whatever became of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_dropped_do_not_mix_up_the_others() {
    let redis = Redis::start().await.unwrap();
    let cache = connect(&redis).await;
    for at in 0..50 {
        cache
            .set(&key(at), &blob(vec![at; 100 * usize::from(at)]), LONG)
            .await
            .unwrap();
    }
    let mut readers = JoinSet::new();
    for reader in 0..16_u8 {
        let cache = cache.clone();
        readers.spawn(async move {
            for round in 0..200_u8 {
                let at = round.wrapping_mul(7).wrapping_add(reader) % 50;
                if round % 2 == 0 {
                    let bound = Duration::from_micros(u64::from(round) * 2);
                    let _ = tokio::time::timeout(bound, cache.get::<Blob>(&key(at))).await;
                    let _ = tokio::time::timeout(bound, cache.get_many::<Blob>(&[key(at), key(1)]))
                        .await;
                } else {
                    let got = cache.get::<Blob>(&key(at)).await.unwrap().unwrap();
                    assert_eq!(got, blob(vec![at; 100 * usize::from(at)]));
                }
            }
        });
    }
    readers.join_all().await;
}

#[test]
fn no_descriptor_is_open_that_should_not_be() {
    // Guards the count above: it sees what is open.
    let before = descriptors();
    let file = std::fs::File::open("/proc/self/status").unwrap();
    assert!(file.as_raw_fd() > 2);
    assert_eq!(descriptors(), before + 1);
}
