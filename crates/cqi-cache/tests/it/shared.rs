//! Several services in one Redis.

use cqi_cache::{Cache, Key, Ttl};
use cqi_config::CacheConfig;
use cqi_testkit::Redis;

use crate::support::{Blob, LONG, Price, blob, config, key, price};

#[tokio::test]
async fn services_with_prefixes_do_not_see_each_other() {
    let redis = Redis::start().await.unwrap();
    let mut caches = Vec::new();
    for prefix in ["", "pricing", "risk:v2"] {
        let config = CacheConfig {
            key_prefix: prefix.to_owned(),
            ..config(&redis)
        };
        caches.push(Cache::connect(&config).await.unwrap());
    }
    let key = Key::new("a").part("b");
    for (cache, value) in caches.iter().zip([1.0, 2.0, 3.0]) {
        assert!(!cache.exists(&key).await.unwrap());
        cache.set(&key, &price(value), LONG).await.unwrap();
    }
    for (cache, value) in caches.iter().zip([1.0, 2.0, 3.0]) {
        assert_eq!(cache.get(&key).await.unwrap(), Some(price(value)));
    }
    for whole in ["a:b", "pricing:a:b", "risk%3Av2:a:b"] {
        let there = redis.command(["EXISTS", whole]).await.unwrap();
        assert_eq!(there.integer(), Some(1), "{whole}");
    }
    let ttl = redis.command(["PTTL", "a:b"]).await.unwrap().integer();
    assert!((1..=60_000).contains(&ttl.unwrap()), "{ttl:?}");
}

#[tokio::test]
async fn a_reader_with_a_lower_limit_misses_larger_values() {
    let redis = Redis::start().await.unwrap();
    let writer = Cache::connect(&config(&redis)).await.unwrap();
    let narrow = CacheConfig {
        max_value_size: 1_000,
        ..config(&redis)
    };
    let reader = Cache::connect(&narrow).await.unwrap();
    for (size, fits) in [(1_000, true), (1_001, false), (100_000, false)] {
        writer.set(&key(size), &blob(size), LONG).await.unwrap();
        let got = reader.get::<Blob>(&key(size)).await.unwrap();
        assert_eq!(got.is_some(), fits, "{size}");
        let many = reader.get_many::<Blob>(&[key(size), key(1_000)]).await;
        let many = many
            .unwrap()
            .iter()
            .map(Option::is_some)
            .collect::<Vec<_>>();
        assert_eq!(many, [fits, true], "{size}");
    }
    assert_eq!(reader.status().rejected, 4);
}

#[tokio::test]
async fn what_somebody_else_put_there_is_a_miss_and_is_replaced() {
    let redis = Redis::start().await.unwrap();
    let cache = Cache::connect(&config(&redis)).await.unwrap();
    let long = "x".repeat(5 << 20);
    let foreign: [&[&str]; 7] = [
        &["SET", "test:a", ""],
        &["SET", "test:a", "hello"],
        &[
            "SET",
            "test:a",
            "{\"price\": 1.5, \"asset\": \"btc\", \"venue\": \"x\"}",
        ],
        &["SET", "test:a", &long],
        &["RPUSH", "test:a", "1", "2"],
        &["HSET", "test:a", "field", "value"],
        &["SETBIT", "test:a", "7", "1"],
    ];
    for command in foreign {
        redis.command(["DEL", "test:a"]).await.unwrap();
        redis.command(command).await.unwrap();
        let name = &command[..1];
        let key = key("a");
        assert_eq!(cache.get::<Price>(&key).await.unwrap(), None, "{name:?}");
        assert_eq!(
            cache
                .get_many::<Price>(std::slice::from_ref(&key))
                .await
                .unwrap(),
            [None],
            "{name:?}"
        );
        assert!(!cache.exists(&key).await.unwrap(), "{name:?}");
        assert!(
            cache
                .set_versioned(&key, &price(1.0), 1, LONG)
                .await
                .unwrap(),
            "{name:?}"
        );

        redis.command(["DEL", "test:a"]).await.unwrap();
        redis.command(command).await.unwrap();
        cache.set(&key, &price(2.0), LONG).await.unwrap();
        assert_eq!(cache.get(&key).await.unwrap(), Some(price(2.0)), "{name:?}");
    }
}

#[tokio::test]
async fn redis_drops_values_by_itself() {
    let redis = Redis::start().await.unwrap();
    let cache = Cache::connect(&config(&redis)).await.unwrap();
    let left = async |key: &Key| {
        let left = redis.command(["PTTL", key.as_str()]).await.unwrap();
        left.integer().unwrap()
    };
    let keys = [1, 2, 3, 4].map(key);
    cache.set(&keys[0], &price(1.0), LONG).await.unwrap();
    let many = [(keys[1].clone(), price(1.0))];
    cache.set_many(&many, LONG).await.unwrap();
    let versioned = cache.set_versioned(&keys[2], &price(1.0), 1, LONG).await;
    assert!(versioned.unwrap());
    let load = || async { Ok(price(1.0)) };
    cache.get_or_load(&keys[3], LONG, load).await.unwrap();
    for key in &keys {
        let left = left(key).await;
        assert!((30_000..=60_000).contains(&left), "{key}: {left}");
    }
    cache.set(&keys[0], &price(1.0), Ttl::Never).await.unwrap();
    let many = [(keys[1].clone(), price(1.0))];
    cache.set_many(&many, Ttl::Never).await.unwrap();
    let versioned = cache
        .set_versioned(&keys[2], &price(1.0), 1, Ttl::Never)
        .await;
    assert!(versioned.unwrap());
    for key in &keys[..3] {
        assert_eq!(left(key).await, -1, "{key}");
    }
}
