//! Loading again before a value expires.

use std::sync::Arc;

use cqi_errors::{Error, Result};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::*;

/// Every hit sees its value about to expire.
fn eager() -> LoadPolicy {
    LoadPolicy::new(MINUTE).early_refresh(1e12)
}

/// A loader that costs something, and so is called early.
async fn load(cache: &Cache, outcome: Result<Price>) -> Result<Price> {
    let loader = || async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        outcome
    };
    cache.get_or_load(&key(), eager(), loader).await
}

#[tokio::test]
async fn a_hit_of_an_expiring_value_loads_it_again_behind_the_reader() {
    each(async |cache| {
        load(&cache, Ok(price(1.0))).await.unwrap();
        assert_eq!(load(&cache, Ok(price(2.0))).await.unwrap(), price(1.0));
        until(|| cache.status().loading == 0).await;
        assert_eq!(cache.get(&key()).await.unwrap(), Some(price(2.0)));
        let status = cache.status();
        assert_eq!((status.loads, status.refreshed, status.joined), (2, 1, 0));
    })
    .await;
}

#[tokio::test]
async fn values_that_are_set_or_do_not_expire_or_by_policy_are_not_loaded_again() {
    each(async |cache| {
        cache.set(&key(), &price(1.0), MINUTE).await.unwrap();
        load(&cache, Ok(price(2.0))).await.unwrap();
        cache.delete(&key()).await.unwrap();
        load(&cache, Ok(price(2.0))).await.unwrap();
        let off = eager().early_refresh(0.0);
        for _ in 0..100 {
            let never = || async { panic!("the loader is not to be called") };
            cache
                .get_or_load::<Price, _, _>(&key(), off, never)
                .await
                .unwrap();
        }
        assert_eq!(cache.status().refreshed, 0);
    })
    .await;
}

/// No reader waits for the slow loader, since none runs or joins a load: all are hits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_a_hot_key_never_wait_for_the_loader() {
    each(async |cache| {
        let ttl = Duration::from_millis(400);
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let read = move |cache: Cache| async move {
            let policy = LoadPolicy::new(ttl).early_refresh(2.0);
            let loader = || async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(price(1.0))
            };
            cache.get_or_load(&key(), policy, loader).await.unwrap()
        };
        read(cache.clone()).await;
        let mut readers = JoinSet::new();
        for _ in 0..16 {
            let (cache, done) = (cache.clone(), Arc::clone(&done));
            readers.spawn(async move {
                while !done.load(SeqCst) {
                    read(cache.clone()).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        until(|| cache.status().refreshed >= 5).await;
        done.store(true, SeqCst);
        readers.join_all().await;
        until(|| cache.status().loading == 0).await;
        let status = cache.status();
        assert_eq!((status.misses, status.expired, status.joined), (1, 0, 0));
        assert_eq!(status.loads, 1 + status.refreshed);
        assert!(status.hits > 100);
    })
    .await;
}

#[tokio::test]
async fn one_load_at_a_time_in_the_background() {
    each(async |cache| {
        load(&cache, Ok(price(1.0))).await.unwrap();
        let go = Arc::new(Notify::new());
        for _ in 0..100 {
            let go = Arc::clone(&go);
            let loader = || async move {
                go.notified().await;
                Ok(price(2.0))
            };
            let hit = cache.get_or_load(&key(), eager(), loader).await;
            assert_eq!(hit.unwrap(), price(1.0));
        }
        assert_eq!(cache.status().refreshed, 1);
        go.notify_one();
        until(|| cache.status().loading == 0).await;
        assert_eq!(cache.get(&key()).await.unwrap(), Some(price(2.0)));
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_misses_meanwhile_joins_the_load_in_the_background() {
    each(async |cache| {
        let policy = LoadPolicy::new(Duration::from_millis(50)).early_refresh(1e12);
        let go = Arc::new(Notify::new());
        let first = || async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(price(1.0))
        };
        cache.get_or_load(&key(), policy, first).await.unwrap();
        let gate = Arc::clone(&go);
        let second = || async move {
            gate.notified().await;
            Ok(price(2.0))
        };
        cache.get_or_load(&key(), policy, second).await.unwrap();
        assert_eq!(cache.status().refreshed, 1);
        let expired = async { while cache.get::<Price>(&key()).await.unwrap().is_some() {} };
        tokio::task::unconstrained(expired).await;
        let waiter = cache.clone();
        let lookups = || cache.status().expired + cache.status().misses;
        let before = lookups();
        let waiter = tokio::spawn(async move {
            let never = || async { panic!("the loader is not to be called") };
            waiter
                .get_or_load::<Price, _, _>(&key(), policy, never)
                .await
                .unwrap()
        });
        until(|| lookups() > before).await;
        go.notify_one();
        assert_eq!(waiter.await.unwrap(), price(2.0));
    })
    .await;
}

/// Its answer came before the new value did, and it looks at it after that.
#[tokio::test]
async fn a_reader_of_what_was_replaced_meanwhile_does_not_load_it_once_more() {
    let server = Redis::start().await.unwrap();
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        tls: false,
        command_timeout: LONG,
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    load(&cache, Ok(price(1.0))).await.unwrap();
    let mut late = std::pin::pin!(load(&cache, Ok(price(3.0))));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(late.as_mut().poll(&mut cx).is_pending());
    load(&cache, Ok(price(2.0))).await.unwrap();
    until(|| cache.status().loading == 0).await;
    assert_eq!(late.await.unwrap(), price(1.0));
    assert_eq!(cache.status().refreshed, 1);
    assert_eq!(cache.get(&key()).await.unwrap(), Some(price(2.0)));
}

#[tokio::test]
async fn a_failure_in_the_background_is_nobodys_and_pauses() {
    each(async |cache| {
        load(&cache, Ok(price(1.0))).await.unwrap();
        for _ in 0..50 {
            let down = Err(Error::forbidden("no").with_retry_after(MINUTE));
            assert_eq!(load(&cache, down).await.unwrap(), price(1.0));
            until(|| cache.status().loading == 0).await;
        }
        let status = cache.status();
        assert_eq!((status.refreshed, status.load_errors), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_the_background_is_nobodys_and_pauses() {
    each(async |cache| {
        load(&cache, Ok(price(1.0))).await.unwrap();
        for _ in 0..50 {
            let loader = || async { panic!("in the background") };
            let hit = cache
                .get_or_load::<Price, _, _>(&key(), eager(), loader)
                .await;
            assert_eq!(hit.unwrap(), price(1.0));
            until(|| cache.status().loading == 0).await;
        }
        assert_eq!(cache.status().refreshed, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_found_gone_in_the_background_is_deleted() {
    each(async |cache| {
        load(&cache, Ok(price(1.0))).await.unwrap();
        let gone = Err(Error::not_found("price", "of btc"));
        assert_eq!(load(&cache, gone).await.unwrap(), price(1.0));
        until(|| cache.status().loading == 0).await;
        assert!(!cache.exists(&key()).await.unwrap());
        let status = cache.status();
        assert_eq!((status.refreshed, status.load_errors), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn what_is_deleted_meanwhile_stays_deleted() {
    each(async |cache| {
        load(&cache, Ok(price(1.0))).await.unwrap();
        let (go, calls) = (Arc::new(Notify::new()), Calls::default());
        let (gate, ended) = (Arc::clone(&go), Ended(Arc::new(Semaphore::new(0))));
        let end = Arc::clone(&ended.0);
        let loader = move || async move {
            let _ended = ended;
            gate.notified().await;
            calls.inc();
            Ok(price(2.0))
        };
        cache.get_or_load(&key(), eager(), loader).await.unwrap();
        cache.delete(&key()).await.unwrap();
        go.notify_one();
        let _ = end.acquire().await;
        // The task has no more to wait for.
        tokio::task::yield_now().await;
        assert!(!cache.exists(&key()).await.unwrap());
    })
    .await;
}

/// Tells when a loader is dropped.
struct Ended(Arc<Semaphore>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn begin_one_that_hangs(cache: &Cache) -> Arc<Semaphore> {
    load(cache, Ok(price(1.0))).await.unwrap();
    let end = Arc::new(Semaphore::new(0));
    let ended = Ended(Arc::clone(&end));
    let loader = || async move {
        let _ended = ended;
        std::future::pending().await
    };
    let hit = cache
        .get_or_load::<Price, _, _>(&key(), eager(), loader)
        .await;
    assert_eq!(hit.unwrap(), price(1.0));
    assert_eq!(cache.status().refreshed, 1);
    end
}

#[tokio::test]
async fn close_ends_what_runs_in_the_background() {
    each(async |cache| {
        let end = begin_one_that_hangs(&cache).await;
        cache.close().await;
        assert!(end.is_closed());
        assert_eq!(cache.status().loading, 0);
    })
    .await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_what_runs_in_the_background() {
    // Else that is what ends it.
    let config = CacheConfig {
        load_timeout: 2 * LONG,
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    let end = begin_one_that_hangs(&cache).await;
    drop(cache);
    let ended = tokio::time::timeout(LONG, end.acquire()).await;
    assert!(ended.unwrap().is_err());
}

#[tokio::test]
async fn so_many_loads_in_the_background_and_no_more() {
    let cache = Cache::connect(&CacheConfig::default()).await.unwrap();
    for n in 0..100 {
        let key = key().part(n);
        let costly = || async {
            tokio::time::sleep(Duration::from_micros(10)).await;
            Ok(price(1.0))
        };
        cache.get_or_load(&key, eager(), costly).await.unwrap();
        let forever = || std::future::pending();
        let hit = cache
            .get_or_load::<Price, _, _>(&key, eager(), forever)
            .await;
        assert_eq!(hit.unwrap(), price(1.0));
    }
    assert_eq!((cache.status().refreshed, cache.status().loading), (64, 64));
    cache.close().await;
    assert_eq!(cache.status().loading, 0);
}
