//! Callers whose lookup missed what another call's load has brought since: they look again.

use std::pin::pin;
use std::task::{Context, Waker};

use cqi_errors::{Error, Kind, Result};

use super::*;

const MOMENT: Duration = Duration::from_millis(1);

async fn load(cache: &Cache, policy: LoadPolicy, outcome: Result<Price>) -> Result<Price> {
    let loader = || async { outcome };
    cache.get_or_load(&key(), policy, loader).await
}

async fn start() -> (Redis, Cache) {
    let server = Redis::builder().private().start().await.unwrap();
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        tls: false,
        command_timeout: LONG,
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    (server, cache)
}

/// Asks Redis, does something, and only then looks at the answer.
async fn late<T>(call: impl Future<Output = T>, meanwhile: impl Future<Output = ()>) -> T {
    let mut call = pin!(call);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    meanwhile.await;
    call.await
}

#[tokio::test]
async fn what_has_expired_again_is_loaded_and_known_to_be_there() {
    let (server, cache) = start().await;
    let policy = LoadPolicy::new(MOMENT).stale_if_error(MINUTE);
    let gone = Err(Error::not_found("price", "of btc"));
    let meanwhile = async {
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        while cache.get::<Price>(&key()).await.unwrap().is_some() {}
    };
    let error = late(load(&cache, policy, gone), meanwhile).await;
    assert_eq!(error.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(cache.status().loads, 2);
    let there = server.command(["EXISTS", "price:btc"]).await.unwrap();
    assert_eq!(there.integer(), Some(0));
}

#[tokio::test]
async fn that_it_is_not_there_is_an_answer_for_those_whose_policy_keeps_it() {
    let (_server, cache) = start().await;
    let keeps = LoadPolicy::new(MINUTE).not_found(MINUTE);
    let meanwhile = async || {
        let gone = Err(Error::not_found("price", "of btc"));
        load(&cache, keeps, gone).await.unwrap_err();
    };
    let call = load(&cache, keeps, Ok(price(1.0)));
    let error = late(call, meanwhile()).await.unwrap_err();
    assert_eq!(error.public_message(), "price of btc not found");
    assert_eq!(cache.status().loads, 1);
    cache.delete(&key()).await.unwrap();
    let call = load(&cache, LoadPolicy::new(MINUTE), Ok(price(2.0)));
    assert_eq!(late(call, meanwhile()).await.unwrap(), price(2.0));
    assert_eq!(cache.get(&key()).await.unwrap(), Some(price(2.0)));
}

#[tokio::test]
async fn a_value_that_does_not_decode_is_loaded() {
    let (server, cache) = start().await;
    let policy = LoadPolicy::new(MINUTE);
    let meanwhile = async {
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        let garbage = ["SETRANGE", "price:btc", "30", "\x0f\x0f"];
        server.command(garbage).await.unwrap();
    };
    let loaded = late(load(&cache, policy, Ok(price(2.0))), meanwhile).await;
    assert_eq!(loaded.unwrap(), price(2.0));
    assert_eq!(cache.get(&key()).await.unwrap(), Some(price(2.0)));
}

#[tokio::test]
async fn a_server_that_fails_then_is_not_asked_to_store() {
    let (server, cache) = start().await;
    let policy = LoadPolicy::new(MINUTE);
    let meanwhile = async {
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        server.kill().unwrap();
    };
    let loaded = late(load(&cache, policy, Ok(price(2.0))), meanwhile).await;
    assert_eq!(loaded.unwrap(), price(2.0));
    let status = cache.status();
    assert_eq!((status.loads, status.errors, status.not_kept), (2, 1, 1));
}
