//! Loaders that panic, hang or call themselves, and callers that leave.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use cqi_errors::{Kind, Result};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

async fn load<F, Fut>(cache: &Cache, loader: F) -> Result<Price>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<Price>> + Send + 'static,
{
    cache.get_or_load(&key(), MINUTE, loader).await
}

#[tokio::test]
async fn a_panic_is_the_leaders_and_an_error_for_the_others() {
    each(async |cache| {
        let go = Arc::new(Notify::new());
        let (leader, gate) = (cache.clone(), Arc::clone(&go));
        let leader = tokio::spawn(async move {
            let loader = || async move {
                gate.notified().await;
                panic!("the loader's own words")
            };
            load(&leader, loader).await
        });
        until(|| cache.status().loads == 1).await;
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let cache = cache.clone();
            callers.spawn(async move {
                let loader = || async { panic!("one panic is enough") };
                let load = load(&cache, loader);
                load.await.unwrap_err()
            });
        }
        until(|| cache.status().misses == 101).await;
        go.notify_one();
        let panic = leader.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"the loader's own words"));
        for error in callers.join_all().await {
            assert_eq!(error.kind(), Kind::Permanent);
            let text = "load price:btc: the loader panicked in the call that ran it";
            assert_eq!(format!("{error:#}"), text);
        }
        let loader = || async { Ok(price(4.0)) };
        let loaded = load(&cache, loader).await;
        assert_eq!(loaded.unwrap(), price(4.0));
    })
    .await;
}

#[tokio::test]
async fn a_loader_that_panics_before_its_future_is_no_different() {
    each(async |cache| {
        let loader = || -> std::future::Ready<_> { panic!("early") };
        let load = load(&cache, loader);
        let panic = futures_catch(load).await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"early"));
    })
    .await;
}

/// Polls a future up to its panic.
async fn futures_catch<F: Future>(future: F) -> std::thread::Result<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        let poll = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

#[tokio::test]
async fn a_slow_loader_is_a_timeout_for_all() {
    let short = |config: &mut CacheConfig| config.load_timeout = Duration::from_millis(50);
    each_with(short, async |cache| {
        let mut callers = JoinSet::new();
        for _ in 0..10 {
            let cache = cache.clone();
            callers.spawn(async move {
                let forever = || std::future::pending();
                let load = load(&cache, forever);
                load.await.unwrap_err()
            });
        }
        for error in callers.join_all().await {
            assert_eq!(error.kind(), Kind::Timeout);
            let text = "load price:btc: the loader took longer than the 50ms of cache.load_timeout";
            assert_eq!(format!("{error:#}"), text);
        }
        let status = cache.status();
        assert_eq!(
            (status.loads, status.load_timeouts, status.joined),
            (1, 1, 9)
        );
    })
    .await;
}

#[tokio::test]
async fn a_loader_that_loads_its_own_key_ends() {
    let short = |config: &mut CacheConfig| config.load_timeout = Duration::from_millis(50);
    each_with(short, async |cache| {
        let inner = cache.clone();
        let again = || async move {
            let loader = || async { Ok(price(1.0)) };
            load(&inner, loader).await
        };
        let error = load(&cache, again).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        assert_eq!(cache.status().loads, 1);
    })
    .await;
}

/// One that takes over has what is left of its own time, so that no call takes longer.
#[tokio::test]
async fn leaders_that_leave_one_after_the_other_do_not_hold_up_the_last() {
    let short = |config: &mut CacheConfig| config.load_timeout = Duration::from_millis(200);
    each_with(short, async |cache| {
        let mut leaders = JoinSet::new();
        for n in 1..=20 {
            let cache = cache.clone();
            leaders.spawn(async move {
                let leaves = Duration::from_millis(15 * n);
                let forever = || std::future::pending();
                let _ = tokio::time::timeout(leaves, load(&cache, forever)).await;
            });
        }
        until(|| cache.status().loading == 1).await;
        let begin = std::time::Instant::now();
        let forever = || std::future::pending();
        let load = load(&cache, forever);
        assert_eq!(load.await.unwrap_err().kind(), Kind::Timeout);
        assert!(begin.elapsed() < Duration::from_millis(200 + 250));
        leaders.join_all().await;
    })
    .await;
}

#[tokio::test]
async fn callers_that_all_leave_leave_nothing() {
    each(async |cache| {
        let mut callers = JoinSet::new();
        for _ in 0..10 {
            let cache = cache.clone();
            callers.spawn(async move {
                let forever = || std::future::pending();
                load(&cache, forever).await
            });
        }
        until(|| cache.status().misses == 10).await;
        assert_eq!(cache.status().loading, 1);
        callers.shutdown().await;
        assert_eq!(cache.status().loading, 0);
    })
    .await;
}

#[tokio::test]
async fn a_cache_that_closes_meanwhile_does_not_take_the_value_from_its_callers() {
    each(async |cache| {
        let go = Arc::new(Notify::new());
        let mut callers = JoinSet::new();
        for _ in 0..10 {
            let (cache, go) = (cache.clone(), Arc::clone(&go));
            callers.spawn(async move {
                let loader = || async move {
                    go.notified().await;
                    Ok(price(5.0))
                };
                load(&cache, loader).await.unwrap()
            });
        }
        until(|| cache.status().misses == 10).await;
        cache.close().await;
        go.notify_one();
        assert_eq!(callers.join_all().await, vec![price(5.0); 10]);
        assert_eq!(cache.status().not_kept, 1);
        let loader = || async { Ok(price(6.0)) };
        let loaded = load(&cache, loader).await;
        assert_eq!(loaded.unwrap(), price(6.0));
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_meant_is_refused() {
    each(async |cache| {
        for beta in [f64::NAN, f64::INFINITY, -0.5] {
            let policy = LoadPolicy::new(MINUTE).early_refresh(beta);
            let loader = || async { Ok(price(1.0)) };
            let error = cache.get_or_load(&key(), policy, loader).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Permanent);
            let text = format!(
                "load price:btc: LoadPolicy::early_refresh({beta}) has to be finite and at least 0"
            );
            assert_eq!(format!("{error:#}"), text);
        }
        assert_eq!(cache.status().loads, 0);
    })
    .await;
}

#[tokio::test]
async fn a_load_timeout_may_be_endless() {
    let endless = |config: &mut CacheConfig| config.load_timeout = Duration::MAX;
    each_with(endless, async |cache| {
        let loader = || async { Ok(price(1.0)) };
        assert_eq!(load(&cache, loader).await.unwrap(), price(1.0));
    })
    .await;
}
