//! Loading what is missing, on both backends.

mod again;
mod early;
mod failures;
mod flight;
mod outage;
mod policy;
mod seen;
mod storm;
mod supersede;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cqi_cache::{Cache, Key, LoadPolicy};
use cqi_config::{CacheBackend, CacheConfig};
use cqi_testkit::Redis;

/// Enough for a busy machine.
const LONG: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, prost::Message)]
struct Price {
    #[prost(double, tag = "1")]
    value: f64,
}

impl prost::Name for Price {
    const NAME: &'static str = "Price";
    const PACKAGE: &'static str = "test.v1";
}

fn price(value: f64) -> Price {
    Price { value }
}

fn key() -> Key {
    Key::new("price").part("btc")
}

/// Runs a test with a cache of each kind.
async fn each(test: impl AsyncFn(Cache)) {
    each_with(|_| {}, test).await;
}

async fn each_with(tune: impl FnOnce(&mut CacheConfig), test: impl AsyncFn(Cache)) {
    let server = Redis::start().await.unwrap();
    let mut config = CacheConfig {
        hosts: vec![server.address()],
        tls: false,
        command_timeout: LONG,
        ..CacheConfig::default()
    };
    tune(&mut config);
    for backend in [CacheBackend::Memory, CacheBackend::Redis] {
        config.backend = backend;
        let cache = Cache::connect(&config).await.unwrap();
        let done = tokio::time::timeout(LONG * 2, test(cache.clone())).await;
        done.unwrap_or_else(|_| panic!("the test hangs with {backend:?}"));
        // Waiters have the value before it is stored.
        until(|| cache.status().loading == 0).await;
        cache.close().await;
    }
}

/// Waits until something is so, without a clock.
async fn until(what: impl Fn() -> bool) {
    let so = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, so)
        .await
        .expect("it never comes");
}

/// Counts the calls of a loader.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicU64>);

impl Calls {
    fn inc(&self) -> u64 {
        self.0.fetch_add(1, SeqCst) + 1
    }

    fn get(&self) -> u64 {
        self.0.load(SeqCst)
    }
}
