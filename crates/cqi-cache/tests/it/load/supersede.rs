//! Values that change while an older one is being loaded.

use std::sync::Arc;

use tokio::sync::Notify;

use super::*;

/// Begins a load, does something, ends the load; returns what is kept then.
async fn meanwhile(cache: &Cache, change: impl AsyncFn()) -> Option<Price> {
    let go = Arc::new(Notify::new());
    let loads = cache.status().loads;
    let (own, gate) = (cache.clone(), Arc::clone(&go));
    let load = tokio::spawn(async move {
        let loader = || async move {
            gate.notified().await;
            Ok(price(-1.0))
        };
        own.get_or_load(&key(), MINUTE, loader).await.unwrap()
    });
    until(|| cache.status().loads == loads + 1).await;
    change().await;
    go.notify_one();
    assert_eq!(load.await.unwrap(), price(-1.0));
    cache.get(&key()).await.unwrap()
}

#[tokio::test]
async fn an_older_value_is_not_stored_over_what_came_meanwhile() {
    each(async |cache| {
        assert_eq!(meanwhile(&cache, async || ()).await, Some(price(-1.0)));
        cache.delete(&key()).await.unwrap();

        let delete = async || {
            cache.delete(&key()).await.unwrap();
        };
        assert_eq!(meanwhile(&cache, delete).await, None);
        let delete_many = async || {
            cache.delete_many(&[key()]).await.unwrap();
        };
        assert_eq!(meanwhile(&cache, delete_many).await, None);

        let set = async || cache.set(&key(), &price(1.0), MINUTE).await.unwrap();
        assert_eq!(meanwhile(&cache, set).await, Some(price(1.0)));
        cache.delete(&key()).await.unwrap();
        let set_many = async || {
            let values = [(key(), price(2.0))];
            cache.set_many(&values, MINUTE).await.unwrap();
        };
        assert_eq!(meanwhile(&cache, set_many).await, Some(price(2.0)));
        cache.delete(&key()).await.unwrap();
        let versioned = async || {
            assert!(
                cache
                    .set_versioned(&key(), &price(3.0), 3, MINUTE)
                    .await
                    .unwrap()
            );
        };
        assert_eq!(meanwhile(&cache, versioned).await, Some(price(3.0)));
        assert_eq!(cache.status().not_kept, 0);
    })
    .await;
}

#[tokio::test]
async fn other_keys_are_not_concerned() {
    each(async |cache| {
        let near = ["price", "price:btc:1", "price:btd"];
        let others = async || {
            for other in near {
                cache.delete(&Key::new(other)).await.unwrap();
            }
            cache.delete(&key().part("")).await.unwrap();
        };
        assert_eq!(meanwhile(&cache, others).await, Some(price(-1.0)));
    })
    .await;
}

#[tokio::test]
async fn who_comes_after_a_delete_does_not_get_the_older_value() {
    each(async |cache| {
        let later = async || {
            cache.delete(&key()).await.unwrap();
            let loaded = cache
                .get_or_load(&key(), MINUTE, || async { Ok(price(2.0)) })
                .await;
            assert_eq!(loaded.unwrap(), price(2.0));
        };
        assert_eq!(meanwhile(&cache, later).await, Some(price(2.0)));
    })
    .await;
}

/// Their loader begins after the change: what it brings is new.
#[tokio::test]
async fn who_takes_over_after_a_delete_loads_for_the_cache() {
    each(async |cache| {
        let mut callers = tokio::task::JoinSet::new();
        let own = cache.clone();
        let leader = callers.spawn(async move {
            let forever = || std::future::pending();
            own.get_or_load(&key(), MINUTE, forever).await.unwrap()
        });
        until(|| cache.status().loads == 1).await;
        for _ in 0..3 {
            let own = cache.clone();
            callers.spawn(async move {
                let loader = || async { Ok(price(2.0)) };
                own.get_or_load(&key(), MINUTE, loader).await.unwrap()
            });
        }
        until(|| cache.status().misses == 4).await;
        cache.delete(&key()).await.unwrap();
        leader.abort();
        assert!(
            callers
                .join_next()
                .await
                .unwrap()
                .is_err_and(|it| it.is_cancelled())
        );
        assert_eq!(callers.join_all().await, vec![price(2.0); 3]);
        until(|| cache.status().loading == 0).await;
        assert_eq!(cache.get(&key()).await.unwrap(), Some(price(2.0)));
        assert_eq!(cache.status().loads, 2);
    })
    .await;
}

#[tokio::test]
async fn what_another_process_set_stays_where_the_policy_says_so() {
    let server = Redis::start().await.unwrap();
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        tls: false,
        command_timeout: LONG,
        ..CacheConfig::default()
    };
    let (here, there) = (Cache::connect(&config).await, Cache::connect(&config).await);
    let (here, there) = (here.unwrap(), there.unwrap());
    let policy = LoadPolicy::new(MINUTE);
    for (policy, kept) in [(policy.keep_newer(), price(2.0)), (policy, price(1.0))] {
        let other = there.clone();
        let loader = || async move {
            other.set_versioned(&key(), &price(2.0), 9, MINUTE).await?;
            Ok(price(1.0))
        };
        let loaded = here.get_or_load(&key(), policy, loader).await.unwrap();
        assert_eq!(loaded, price(1.0));
        assert_eq!(here.get(&key()).await.unwrap(), Some(kept));
        here.delete(&key()).await.unwrap();
    }
    let loader = || async { Ok(price(3.0)) };
    let load = here.get_or_load(&key(), policy.keep_newer(), loader).await;
    assert_eq!(load.unwrap(), price(3.0));
    assert_eq!(there.get(&key()).await.unwrap(), Some(price(3.0)));
}

#[tokio::test]
async fn two_types_under_one_key_load_apart() {
    each(async |cache| {
        let both = async || {
            let text = cache
                .get_or_load(&key(), MINUTE, || async { Ok(Other { id: 7 }) })
                .await;
            assert_eq!(text.unwrap().id, 7);
        };
        // The last to store replaces the other.
        assert_eq!(meanwhile(&cache, both).await, Some(price(-1.0)));
        assert_eq!(cache.status().loads, 2);
        assert_eq!(cache.get::<Other>(&key()).await.unwrap(), None);
    })
    .await;
}

#[derive(Clone, PartialEq, prost::Message)]
struct Other {
    #[prost(uint64, tag = "1")]
    id: u64,
}

impl prost::Name for Other {
    const NAME: &'static str = "Other";
    const PACKAGE: &'static str = "test.v1";
}

/// As where a `select!` has left a load for another branch, and that one sets the key.
#[tokio::test]
async fn a_store_that_is_not_polled_does_not_hold_up_a_set() {
    let server = Redis::start().await.unwrap();
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        tls: false,
        command_timeout: Duration::from_secs(1),
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    let key = key();
    let mut load = std::pin::pin!(cache.get_or_load(&key, MINUTE, || async { Ok(price(1.0)) }));
    tokio::select! {
        biased;
        loaded = &mut load => panic!("{loaded:?} without an answer of Redis"),
        () = until(|| cache.status().loads == 1) => {}
    }
    let keys = [Key::new("other"), key.clone()];
    let set = async {
        cache.set(&key, &price(2.0), MINUTE).await.unwrap();
        cache.delete_many(&keys).await.unwrap();
        cache.set(&key, &price(3.0), MINUTE).await.unwrap();
    };
    tokio::time::timeout(LONG, set).await.unwrap();
    assert_eq!(load.await.unwrap(), price(1.0));
    assert_eq!(cache.get(&key).await.unwrap(), Some(price(3.0)));
}
