//! What is kept of a load, and for how long.

use cqi_cache::Ttl;
use cqi_errors::{Error, Kind, Result};

use super::*;

const MOMENT: Duration = Duration::from_millis(20);

/// Waits until a value has expired.
async fn until_expired(cache: &Cache) {
    let expired = async { while cache.get::<Price>(&key()).await.unwrap().is_some() {} };
    tokio::time::timeout(LONG, tokio::task::unconstrained(expired))
        .await
        .unwrap();
}

async fn load(
    cache: &Cache,
    policy: impl Into<LoadPolicy>,
    outcome: Result<Price>,
) -> Result<Price> {
    cache
        .get_or_load(&key(), policy, || async { outcome })
        .await
}

async fn must_hit(cache: &Cache, policy: impl Into<LoadPolicy>) -> Result<Price> {
    let never = || async { panic!("the loader is not to be called") };
    cache.get_or_load(&key(), policy, never).await
}

#[tokio::test]
async fn a_loaded_value_is_a_hit_until_it_expires() {
    each(async |cache| {
        load(&cache, MOMENT, Ok(price(1.0))).await.unwrap();
        until_expired(&cache).await;
        let hits = cache.status().hits;
        load(&cache, MINUTE, Ok(price(2.0))).await.unwrap();
        assert_eq!(must_hit(&cache, MINUTE).await.unwrap(), price(2.0));
        assert_eq!(cache.status().hits, hits + 1);
    })
    .await;
}

#[tokio::test]
async fn times_can_be_said_in_every_way() {
    each(async |cache| {
        load(&cache, MINUTE, Ok(price(1.0))).await.unwrap();
        must_hit(&cache, Some(MINUTE)).await.unwrap();
        must_hit(&cache, None).await.unwrap();
        must_hit(&cache, Ttl::Never).await.unwrap();
        must_hit(&cache, LoadPolicy::from(Ttl::Default))
            .await
            .unwrap();
        cache.delete(&key()).await.unwrap();
        load(&cache, Ttl::Never, Ok(price(2.0))).await.unwrap();
        must_hit(&cache, Ttl::Never).await.unwrap();
        cache.delete(&key()).await.unwrap();
        load(&cache, Duration::MAX, Ok(price(3.0))).await.unwrap();
        must_hit(
            &cache,
            LoadPolicy::new(MINUTE).stale_if_error(Duration::MAX),
        )
        .await
        .unwrap();
    })
    .await;
}

#[tokio::test]
async fn values_loaded_together_do_not_expire_together() {
    let server = Redis::start().await.unwrap();
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        tls: false,
        ttl_jitter: 0.5,
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    let mut left = Vec::new();
    for n in 0..50 {
        let key = key().part(n);
        cache
            .get_or_load(&key, MINUTE, || async { Ok(price(1.0)) })
            .await
            .unwrap();
        let ttl = server.command(["PTTL", key.as_str()]).await.unwrap();
        left.push(ttl.integer().unwrap());
    }
    left.sort_unstable();
    // At most 10 s pass between the store and the look at it.
    assert!(left[0] >= 20_000 && left[49] <= 60_000, "{left:?}");
    assert!(left[49] - left[0] > 10_000, "{left:?}");
}

#[tokio::test]
async fn what_is_not_there_is_kept_where_the_policy_says_so() {
    each(async |cache| {
        let policy = LoadPolicy::new(MINUTE).not_found(MINUTE);
        let first = load(&cache, policy, Err(Error::not_found("price", "of btc")))
            .await
            .unwrap_err();
        let kept = must_hit(&cache, policy).await.unwrap_err();
        for error in [&first, &kept] {
            assert_eq!(error.kind(), Kind::NotFound);
            assert_eq!(error.public_message(), "price of btc not found");
            assert_eq!(error.to_string(), "load price:btc");
        }
        assert_eq!(cache.status().hits, 1);
        assert_eq!(cache.get::<Price>(&key()).await.unwrap(), None);
        assert!(!cache.exists(&key()).await.unwrap());
        // Who did not ask for it loads.
        assert_eq!(
            load(&cache, MINUTE, Ok(price(1.0))).await.unwrap(),
            price(1.0)
        );
        assert_eq!(must_hit(&cache, policy).await.unwrap(), price(1.0));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_forgotten_after_its_time() {
    each(async |cache| {
        let policy = LoadPolicy::new(MINUTE)
            .not_found(MOMENT)
            .stale_if_error(MINUTE);
        let missing = || Err(Error::not_found("price", "of btc"));
        load(&cache, policy, missing()).await.unwrap_err();
        // An absent value is not served for an outage either.
        let outage = async {
            loop {
                let error = load(&cache, policy, Err(Error::temporary("down")))
                    .await
                    .unwrap_err();
                if error.kind() == Kind::Temporary {
                    break;
                }
            }
        };
        tokio::time::timeout(LONG, outage).await.unwrap();
        assert_eq!(
            load(&cache, policy, Ok(price(1.0))).await.unwrap(),
            price(1.0)
        );
    })
    .await;
}

#[tokio::test]
async fn by_default_not_found_is_not_kept() {
    each(async |cache| {
        load(&cache, MINUTE, Err(Error::not_found("price", "of btc")))
            .await
            .unwrap_err();
        load(&cache, MINUTE, Ok(price(1.0))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_expired_value_stands_in_for_a_failing_loader() {
    each(async |cache| {
        let policy = LoadPolicy::new(MOMENT).stale_if_error(MINUTE);
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        until_expired(&cache).await;
        let soon = Duration::from_nanos(1);
        let down = |kind| Err(Error::new(kind, "down").with_retry_after(soon));
        let outages = [
            Kind::Temporary,
            Kind::Timeout,
            Kind::RateLimited,
            Kind::Permanent,
            Kind::Unknown,
        ];
        for kind in outages {
            assert_eq!(load(&cache, policy, down(kind)).await.unwrap(), price(1.0));
        }
        let answers = [
            Kind::Forbidden,
            Kind::Unauthorized,
            Kind::InvalidInput,
            Kind::Conflict,
        ];
        for kind in answers {
            let error = load(&cache, policy, down(kind)).await.unwrap_err();
            assert_eq!(error.kind(), kind);
        }
        assert_eq!(cache.status().served_stale, outages.len() as u64);
        assert_eq!(
            cache.status().loads,
            1 + outages.len() as u64 + answers.len() as u64
        );
        // Who did not ask for it gets the error.
        load(&cache, MINUTE, down(Kind::Temporary))
            .await
            .unwrap_err();
        assert_eq!(
            load(&cache, policy, Ok(price(2.0))).await.unwrap(),
            price(2.0)
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_gone_is_not_served_when_the_loader_fails_later() {
    each(async |cache| {
        let policy = LoadPolicy::new(MOMENT).stale_if_error(MINUTE);
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        until_expired(&cache).await;
        let gone = Err(Error::not_found("price", "of btc"));
        assert_eq!(
            load(&cache, policy, gone).await.unwrap_err().kind(),
            Kind::NotFound
        );
        let error = load(&cache, policy, Err(Error::temporary("down")))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary);
    })
    .await;
}

#[tokio::test]
async fn a_failing_loader_is_left_alone_for_a_while() {
    each(async |cache| {
        let policy = LoadPolicy::new(MOMENT).stale_if_error(MINUTE);
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        until_expired(&cache).await;
        let pause = Duration::from_millis(200);
        let down = || Err(Error::temporary("down").with_retry_after(pause));
        let begin = std::time::Instant::now();
        load(&cache, policy, down()).await.unwrap();
        let mut served = 0;
        let again = async {
            while cache.status().loads == 2 {
                assert_eq!(load(&cache, policy, down()).await.unwrap(), price(1.0));
                served += 1;
            }
        };
        tokio::time::timeout(LONG, tokio::task::unconstrained(again))
            .await
            .unwrap();
        assert!(begin.elapsed() >= pause);
        assert!(served > 1);
        // One without an expired value is not held up.
        let other = key().part("other");
        let loaded = cache
            .get_or_load(&other, policy, || async { Ok(price(3.0)) })
            .await;
        assert_eq!(loaded.unwrap(), price(3.0));
    })
    .await;
}

#[tokio::test]
async fn a_stale_value_serves_all_callers_of_a_loader_that_hangs_or_panics() {
    let short = |config: &mut CacheConfig| config.load_timeout = Duration::from_millis(50);
    each_with(short, async |cache| {
        let policy = LoadPolicy::new(MOMENT).stale_if_error(MINUTE);
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        until_expired(&cache).await;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let cache = cache.clone();
            callers.spawn(async move {
                let forever = || std::future::pending();
                cache
                    .get_or_load::<Price, _, _>(&key(), policy, forever)
                    .await
                    .unwrap()
            });
        }
        assert_eq!(callers.join_all().await, vec![price(1.0); 10]);
        assert_eq!((cache.status().loads, cache.status().served_stale), (2, 10));
    })
    .await;
}

#[tokio::test]
async fn a_value_too_large_to_keep_is_returned_to_all() {
    let small = |config: &mut CacheConfig| config.max_value_size = 8;
    each_with(small, async |cache| {
        load(&cache, MINUTE, Ok(price(1.0))).await.unwrap();
        assert_eq!(cache.status().not_kept, 1);
        assert_eq!(
            load(&cache, MINUTE, Ok(price(2.0))).await.unwrap(),
            price(2.0)
        );
    })
    .await;
}

#[tokio::test]
async fn what_does_not_decode_is_loaded_and_replaced() {
    let server = Redis::start().await.unwrap();
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        tls: false,
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    load(&cache, MINUTE, Ok(price(1.0))).await.unwrap();
    server
        .command(["SETRANGE", "price:btc", "30", "\x0f\x0f"])
        .await
        .unwrap();
    assert_eq!(
        load(&cache, MINUTE, Ok(price(2.0))).await.unwrap(),
        price(2.0)
    );
    assert_eq!(must_hit(&cache, MINUTE).await.unwrap(), price(2.0));
    for foreign in [
        vec!["LPUSH", "price:btc", "1"],
        vec!["SET", "price:btc", "garbage"],
    ] {
        server.command(["DEL", "price:btc"]).await.unwrap();
        server.command(foreign).await.unwrap();
        assert_eq!(
            load(&cache, MINUTE, Ok(price(3.0))).await.unwrap(),
            price(3.0)
        );
        assert_eq!(must_hit(&cache, MINUTE).await.unwrap(), price(3.0));
    }
}

/// So that a loader which takes less than a millisecond has a cost, too.
#[tokio::test]
async fn what_a_load_took_is_kept_in_microseconds() {
    let server = Redis::start().await.unwrap();
    let config = CacheConfig {
        backend: CacheBackend::Redis,
        hosts: vec![server.address()],
        tls: false,
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    let begin = std::time::Instant::now();
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(price(1.0))
    };
    cache.get_or_load(&key(), MINUTE, slow).await.unwrap();
    let most = begin.elapsed().as_micros();
    let cost = server.command(["GETRANGE", "price:btc", "18", "21"]).await;
    let cost = cost.unwrap().bytes().unwrap().try_into().unwrap();
    let cost = u128::from(u32::from_be_bytes(cost));
    assert!((5_000..=most).contains(&cost), "{cost}");
}
