//! What operations cost in memory.

use allocation_counter::{AllocationInfo, measure};
use cqi_cache::{Cache, Key};
use cqi_config::CacheConfig;
use tokio::runtime::{Builder, Runtime};

use crate::support::{Blob, LONG, Price, blob, price};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn cache(prefix: &str) -> Cache {
    let config = CacheConfig {
        key_prefix: prefix.to_owned(),
        ..CacheConfig::default()
    };
    runtime().block_on(Cache::connect(&config)).unwrap()
}

/// What something costs once it has been done a few times.
fn cost(what: impl AsyncFn()) -> AllocationInfo {
    runtime().block_on(async {
        for _ in 0..3 {
            what().await;
        }
    });
    // Not block_on, which may allocate itself.
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    measure(|| {
        let mut what = std::pin::pin!(what());
        assert!(what.as_mut().poll(&mut context).is_ready());
    })
}

#[test]
fn a_usual_key_is_one_allocation() {
    let make = || Key::new("price").part("btc").part(17);
    assert_eq!(measure(|| drop(make())).count_total, 1);
}

#[test]
fn a_hit_costs_the_whole_key_alone() {
    for prefix in ["", "service"] {
        let cache = cache(prefix);
        let (small, large) = (Key::new("small"), Key::new("large"));
        runtime().block_on(async {
            cache.set(&small, &price(1.0), LONG).await.unwrap();
            cache.set(&large, &blob(100_000), LONG).await.unwrap();
        });
        let hit = cost(async || assert!(cache.get::<Price>(&small).await.unwrap().is_some()));
        assert_eq!(hit.count_total, 1);
        // Its bytes are not copied.
        let hit = cost(async || assert!(cache.get::<Blob>(&large).await.unwrap().is_some()));
        assert_eq!(hit.count_total, 1);
        let miss =
            cost(async || assert!(cache.get::<Blob>(&Key::new("b")).await.unwrap().is_none()));
        assert_eq!(miss.count_total, 2, "the key, and the whole key");
    }
}

#[test]
fn entries_take_no_more_than_is_counted() {
    let cache = cache("");
    let real = measure(|| {
        runtime().block_on(async {
            for n in 0..20_000 {
                cache
                    .set(&Key::new("n").part(n), &price(1.0), LONG)
                    .await
                    .unwrap();
            }
            // Has the bookkeeping done.
            assert_eq!(cache.status().entries, 20_000);
        });
    });
    let status = cache.status();
    let (real, counted) = (real.bytes_current as f64, status.size as f64);
    assert!(
        real < counted && counted < real * 1.6,
        "{real} taken, {counted} counted"
    );
}
