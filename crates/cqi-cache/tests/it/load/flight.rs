use std::sync::Arc;

use cqi_errors::{Error, Kind};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_calls_of_one_cold_key_load_once() {
    const CALLERS: u64 = 10_000;
    each(async |cache| {
        let calls = Calls::default();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (cache, calls) = (cache.clone(), calls.clone());
            callers.spawn(async move {
                let status = cache.clone();
                let loader = move || async move {
                    calls.inc();
                    until(|| status.status().misses >= CALLERS).await;
                    Ok(price(1.0))
                };
                cache.get_or_load(&key(), MINUTE, loader).await.unwrap()
            });
        }
        assert!(callers.join_all().await.iter().all(|it| *it == price(1.0)));
        assert_eq!(calls.get(), 1);
        let status = cache.status();
        assert_eq!((status.loads, status.joined), (1, CALLERS - 1));
        assert_eq!(cache.get(&key()).await.unwrap(), Some(price(1.0)));
    })
    .await;
}

/// A caller whose lookup missed may come back when the load it would have joined has landed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_come_late_see_what_landed() {
    each(async |cache| {
        for round in 0..50 {
            let calls = Calls::default();
            let mut callers = JoinSet::new();
            for _ in 0..64 {
                let (cache, calls) = (cache.clone(), calls.clone());
                callers.spawn(async move {
                    let loader = move || async move {
                        calls.inc();
                        Ok(price(1.0))
                    };
                    let key = key().part(round);
                    cache.get_or_load(&key, MINUTE, loader).await.unwrap()
                });
            }
            callers.join_all().await;
            let status = cache.status();
            assert_eq!(calls.get(), 1, "round {round}, {status:?}");
            // Each call counts once, also one that looked again.
            assert_eq!(status.hits + status.misses, 64 * (round + 1));
            assert_eq!(status.misses, status.loads + status.joined);
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_is_every_waiters_and_not_kept() {
    each(async |cache| {
        let go = Arc::new(Notify::new());
        let mut callers = JoinSet::new();
        for _ in 0..5 {
            let (cache, go) = (cache.clone(), Arc::clone(&go));
            callers.spawn(async move {
                let loader = move || async move {
                    go.notified().await;
                    let refused = Error::invalid_input("asset", "must be lower case")
                        .with_retry_after(MINUTE)
                        .with_source(std::io::Error::other("the cause"));
                    Err::<Price, _>(refused)
                };
                cache.get_or_load(&key(), MINUTE, loader).await.unwrap_err()
            });
        }
        until(|| cache.status().misses == 5).await;
        go.notify_one();
        for error in callers.join_all().await {
            assert_eq!(error.kind(), Kind::InvalidInput);
            assert_eq!(error.public_message(), "must be lower case");
            assert_eq!(error.field(), Some("asset"));
            assert_eq!(error.retry_after(), Some(MINUTE));
            assert_eq!(
                format!("{error:#}"),
                "load price:btc: asset: must be lower case: the cause"
            );
        }
        let loaded = cache
            .get_or_load(&key(), MINUTE, || async { Ok(price(2.0)) })
            .await;
        assert_eq!(loaded.unwrap(), price(2.0));
        let status = cache.status();
        assert_eq!((status.loads, status.load_errors), (2, 1));
    })
    .await;
}

#[tokio::test]
async fn a_waiter_takes_over_from_a_leader_that_is_dropped() {
    each(async |cache| {
        let leader = cache.clone();
        let leader = tokio::spawn(async move {
            let forever = || std::future::pending();
            leader
                .get_or_load::<Price, _, _>(&key(), MINUTE, forever)
                .await
        });
        until(|| cache.status().loads == 1).await;
        let mut callers = JoinSet::new();
        for _ in 0..10 {
            let cache = cache.clone();
            callers.spawn(async move {
                let loader = || async { Ok(price(3.0)) };
                cache.get_or_load(&key(), MINUTE, loader).await.unwrap()
            });
        }
        until(|| cache.status().misses == 11).await;
        leader.abort();
        assert_eq!(callers.join_all().await, vec![price(3.0); 10]);
        let status = cache.status();
        assert_eq!((status.loads, status.joined), (2, 9));
    })
    .await;
}
