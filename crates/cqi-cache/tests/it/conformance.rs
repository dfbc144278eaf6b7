//! What holds for every backend.

use std::time::Duration;

use cqi_cache::{Cache, Key, LoadPolicy, Ttl};
use cqi_errors::{Error, Kind};

use crate::support::{Blob, LONG, Place, Price, Volume, blob, key, price, until};

/// Runs each test on each backend.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Place::memory().await.cache).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let place = super::Place::redis().await;
                super::$name(place.cache.clone()).await;
            })*
        }
    };
}

on_both! {
    a_value_is_there_until_it_is_deleted
    many_values_come_in_the_order_of_their_keys
    many_of_nothing_is_nothing
    a_value_of_another_type_is_a_miss
    a_value_of_another_schema_is_a_miss
    an_empty_message_is_a_value
    a_large_value_is_refused_and_what_was_there_stays
    hostile_keys_are_different_keys
    a_value_lives_as_long_as_it_was_told
    a_value_without_end_outlives_others
    a_value_set_again_has_its_new_time
    any_time_to_live_will_do
    a_higher_version_stays
    a_version_is_forgotten_with_its_value
    only_versions_of_the_same_type_are_compared
    the_highest_of_racing_versions_stays
    a_closed_cache_refuses
    what_is_done_is_counted
    what_is_known_to_be_absent_is_no_value
    any_time_to_stay_stale_will_do
}

async fn a_value_is_there_until_it_is_deleted(cache: Cache) {
    let key = key("a");
    assert_eq!(cache.get::<Price>(&key).await.unwrap(), None);
    assert!(!cache.exists(&key).await.unwrap());
    cache.set(&key, &price(1.5), LONG).await.unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Some(price(1.5)));
    assert_eq!(cache.clone().get(&key).await.unwrap(), Some(price(1.5)));
    assert!(cache.exists(&key).await.unwrap());
    cache.set(&key, &price(2.5), LONG).await.unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Some(price(2.5)));
    assert!(cache.delete(&key).await.unwrap());
    assert_eq!(cache.get::<Price>(&key).await.unwrap(), None);
    assert!(!cache.exists(&key).await.unwrap());
    assert!(!cache.delete(&key).await.unwrap());
    cache.check().await.unwrap();
}

async fn many_values_come_in_the_order_of_their_keys(cache: Cache) {
    let values: Vec<_> = (0..1_500)
        .filter(|n| n % 3 > 0)
        .map(|n| (key(n), price(f64::from(n))))
        .collect();
    cache.set_many(&values, LONG).await.unwrap();
    // Some are not there, some twice, and the last comes first.
    let asked: Vec<_> = (0..1_500).rev().chain([1, 1, 0]).collect();
    let keys: Vec<_> = asked.iter().map(key).collect();
    let got: Vec<Option<Price>> = cache.get_many(&keys).await.unwrap();
    let expected: Vec<_> = asked
        .iter()
        .map(|n| (n % 3 > 0).then(|| price(f64::from(*n))))
        .collect();
    assert_eq!(got, expected);

    assert_eq!(cache.delete_many(&keys).await.unwrap(), 1_000);
    let got: Vec<Option<Price>> = cache.get_many(&keys).await.unwrap();
    assert!(got.iter().all(Option::is_none));
}

async fn many_of_nothing_is_nothing(cache: Cache) {
    assert!(cache.get_many::<Price>(&[]).await.unwrap().is_empty());
    cache.set_many::<Price>(&[], LONG).await.unwrap();
    assert_eq!(cache.delete_many(&[]).await.unwrap(), 0);
}

async fn a_value_of_another_type_is_a_miss(cache: Cache) {
    let key = key("a");
    cache.set(&key, &price(1.0), LONG).await.unwrap();
    assert_eq!(cache.get::<Volume>(&key).await.unwrap(), None);
    let many: Vec<Option<Volume>> = cache.get_many(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(many, [None]);
    assert_eq!(cache.status().rejected, 2);
    assert!(cache.exists(&key).await.unwrap());
    assert_eq!(cache.get(&key).await.unwrap(), Some(price(1.0)));

    let volume = Volume { value: 2.0 };
    cache.set(&key, &volume, LONG).await.unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Some(volume));
    assert_eq!(cache.get::<Price>(&key).await.unwrap(), None);
}

async fn a_value_of_another_schema_is_a_miss(cache: Cache) {
    let (key, second, third) = (key("a"), cache.with_schema(2), cache.with_schema(3));
    cache.set(&key, &price(1.0), LONG).await.unwrap();
    assert_eq!(second.get::<Price>(&key).await.unwrap(), None);
    second.set(&key, &price(2.0), LONG).await.unwrap();
    assert_eq!(cache.get::<Price>(&key).await.unwrap(), None);
    assert_eq!(third.get::<Price>(&key).await.unwrap(), None);
    assert_eq!(
        second.with_schema(2).get(&key).await.unwrap(),
        Some(price(2.0))
    );
    assert_eq!(cache.status().rejected, 3);
    assert!(third.delete(&key).await.unwrap());
}

async fn an_empty_message_is_a_value(cache: Cache) {
    let (key, there) = (key("a"), key("b"));
    cache.set(&key, &price(0.0), LONG).await.unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Some(price(0.0)));
    assert!(cache.exists(&key).await.unwrap());
    let got: Vec<Option<Price>> = cache.get_many(&[there, key]).await.unwrap();
    assert_eq!(got, [None, Some(price(0.0))]);
}

async fn a_large_value_is_refused_and_what_was_there_stays(cache: Cache) {
    let limit = 1 << 20;
    let (key, other) = (key("a"), key("b"));
    cache.set(&key, &blob(limit), LONG).await.unwrap();
    let large = blob(limit + 1);
    let values = [(other.clone(), blob(1_000)), (key.clone(), large.clone())];
    for error in [
        cache.set(&key, &large, LONG).await.unwrap_err(),
        cache.set_many(&values, LONG).await.unwrap_err(),
        cache
            .set_versioned(&key, &large, 1, LONG)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert_eq!(
            format!("{error:#}"),
            "set test:a in the cache: the value has 1048577 bytes, more than the 1048576 of cache.max_value_size"
        );
    }
    assert_eq!(cache.get(&key).await.unwrap(), Some(blob(limit)));
    assert_eq!(cache.get::<Blob>(&other).await.unwrap(), None);
}

async fn hostile_keys_are_different_keys(cache: Cache) {
    let long = "x".repeat(10 << 10);
    let parts = [
        "",
        ":",
        "*",
        "\n",
        "\r\n$5\r\n",
        "a:b",
        "%",
        "%3A",
        "{a}",
        "\0",
        "ключ",
        "🔑",
        "a b",
        "\\",
        "\u{7f}",
        "[a-z]",
        &long,
    ];
    let keys: Vec<_> = parts
        .iter()
        .flat_map(|a| parts.iter().map(move |b| Key::new(a).part(b)))
        .chain(parts.iter().map(Key::new))
        .collect();
    let numbered = || keys.iter().cloned().zip((1..).map(|n| price(f64::from(n))));
    for (key, value) in numbered() {
        cache.set(&key, &value, LONG).await.unwrap();
    }
    let got: Vec<Option<Price>> = cache.get_many(&keys).await.unwrap();
    for ((key, value), got) in numbered().zip(got) {
        assert_eq!(got.as_ref(), Some(&value), "{key}");
        assert_eq!(cache.get(&key).await.unwrap(), Some(value), "{key}");
    }
    for key in keys {
        assert!(cache.delete(&key).await.unwrap(), "{key}");
    }
}

async fn a_value_lives_as_long_as_it_was_told(cache: Cache) {
    let (key, witness) = (key("a"), key("b"));
    let ttl = Duration::from_millis(80);
    cache.set(&witness, &price(0.0), LONG).await.unwrap();
    let start = tokio::time::Instant::now();
    cache.set(&key, &price(1.0), ttl).await.unwrap();
    let there = cache.get::<Price>(&key).await.unwrap().is_some();
    assert!(there || start.elapsed() >= ttl);
    until(async || cache.get::<Price>(&key).await.unwrap().is_none()).await;
    // Both ends are cut off to milliseconds.
    assert!(start.elapsed() + Duration::from_millis(2) >= ttl);
    assert!(!cache.exists(&key).await.unwrap());
    let many: Vec<Option<Price>> = cache.get_many(&[key.clone(), witness]).await.unwrap();
    assert_eq!(many, [None, Some(price(0.0))]);
}

async fn a_value_without_end_outlives_others(cache: Cache) {
    let (key, short) = (key("a"), key("b"));
    cache.set(&key, &price(1.0), Ttl::Never).await.unwrap();
    cache
        .set(&short, &price(2.0), Duration::from_millis(10))
        .await
        .unwrap();
    until(async || !cache.exists(&short).await.unwrap()).await;
    assert_eq!(cache.get(&key).await.unwrap(), Some(price(1.0)));
}

async fn a_value_set_again_has_its_new_time(cache: Cache) {
    let (longer, shorter, witness) = (key("a"), key("b"), key("c"));
    let short = Duration::from_millis(50);
    cache.set(&longer, &price(1.0), short).await.unwrap();
    cache.set(&longer, &price(1.0), LONG).await.unwrap();
    cache.set(&shorter, &price(2.0), Ttl::Never).await.unwrap();
    cache.set(&shorter, &price(2.0), short).await.unwrap();
    cache.set(&witness, &price(3.0), short).await.unwrap();
    until(async || !cache.exists(&witness).await.unwrap()).await;
    until(async || !cache.exists(&shorter).await.unwrap()).await;
    assert_eq!(cache.get(&longer).await.unwrap(), Some(price(1.0)));
}

async fn any_time_to_live_will_do(cache: Cache) {
    let (long, short) = (key("a"), key("b"));
    for ttl in [
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        Duration::from_secs(200 * 365 * 24 * 3600),
    ] {
        cache.set(&long, &price(1.0), ttl).await.unwrap();
        assert_eq!(cache.get(&long).await.unwrap(), Some(price(1.0)));
        cache
            .set_versioned(&long, &price(1.0), 1, ttl)
            .await
            .unwrap();
        cache
            .set_many(&[(long.clone(), price(1.0))], ttl)
            .await
            .unwrap();
    }
    for ttl in [Duration::ZERO, Duration::from_nanos(1)] {
        cache.set(&short, &price(1.0), ttl).await.unwrap();
        until(async || !cache.exists(&short).await.unwrap()).await;
        cache
            .set_versioned(&short, &price(1.0), 1, ttl)
            .await
            .unwrap();
        cache
            .set_many(&[(short.clone(), price(1.0))], ttl)
            .await
            .unwrap();
        until(async || cache.get::<Price>(&short).await.unwrap().is_none()).await;
    }
}

async fn a_higher_version_stays(cache: Cache) {
    let key = key("a");
    let set = async |version: u64| {
        let value = price(version as f64);
        cache
            .set_versioned(&key, &value, version, LONG)
            .await
            .unwrap()
    };
    let version = async || {
        let got = cache.get_versioned::<Price>(&key).await.unwrap();
        got.map(|(value, version)| {
            assert_eq!(value, price(version as f64));
            version
        })
    };
    assert_eq!(version().await, None);
    assert!(set(5).await);
    assert!(!set(4).await);
    assert_eq!(version().await, Some(5));
    assert!(set(5).await, "it renews the time");
    // Bytes above 127, carries, and the ends.
    for higher in [
        6,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x1ff,
        1 << 32,
        u64::MAX - 1,
        u64::MAX,
    ] {
        assert!(set(higher).await, "{higher:x}");
        assert!(!set(higher - 1).await, "{higher:x}");
        assert!(!set(0).await, "{higher:x}");
        assert_eq!(version().await, Some(higher));
    }

    cache.set(&key, &price(0.0), LONG).await.unwrap();
    assert_eq!(version().await, Some(0));
    assert!(set(0).await && set(1).await);
}

async fn a_version_is_forgotten_with_its_value(cache: Cache) {
    let key = key("a");
    let set = async |version: u64, ttl: Duration| {
        cache
            .set_versioned(&key, &price(1.0), version, ttl)
            .await
            .unwrap()
    };
    assert!(set(5, LONG).await);
    assert!(cache.delete(&key).await.unwrap());
    assert!(set(4, LONG).await);
    assert!(set(5, Duration::from_millis(10)).await);
    until(async || set(4, LONG).await).await;
    assert_eq!(
        cache.get_versioned(&key).await.unwrap(),
        Some((price(1.0), 4))
    );
}

async fn only_versions_of_the_same_type_are_compared(cache: Cache) {
    let key = key("a");
    assert!(
        cache
            .set_versioned(&key, &price(1.0), 9, LONG)
            .await
            .unwrap()
    );
    let volume = Volume { value: 1.0 };
    assert!(cache.set_versioned(&key, &volume, 2, LONG).await.unwrap());
    assert_eq!(
        cache.get_versioned(&key).await.unwrap(),
        Some((volume.clone(), 2))
    );
    let next = cache.with_schema(1);
    assert!(next.set_versioned(&key, &volume, 1, LONG).await.unwrap());
}

async fn the_highest_of_racing_versions_stays(cache: Cache) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16_u64 {
        let cache = cache.clone();
        writers.spawn(async move {
            for n in 0..32 {
                // Each writer in an order of its own.
                let version = 1 + (n * 7 + writer * 11) % 32;
                let value = price(version as f64);
                cache
                    .set_versioned(&key("a"), &value, version, LONG)
                    .await
                    .unwrap();
            }
        });
    }
    let mut last = 0;
    while !writers.is_empty() {
        if let Some((value, version)) = cache.get_versioned::<Price>(&key("a")).await.unwrap() {
            assert!(version >= last, "{version} after {last}");
            assert_eq!(value, price(version as f64));
            last = version;
        }
        while let Some(ended) = writers.try_join_next() {
            ended.unwrap();
        }
        tokio::task::yield_now().await;
    }
    let end = cache.get_versioned::<Price>(&key("a")).await.unwrap();
    assert_eq!(end, Some((price(32.0), 32)));
}

async fn a_closed_cache_refuses(cache: Cache) {
    let (key, other) = (key("a"), cache.clone());
    cache.set(&key, &price(1.0), LONG).await.unwrap();
    assert!(cache.status().connected);
    other.close().await;
    other.close().await;
    let values = [(key.clone(), price(1.0))];
    for error in [
        cache.get::<Price>(&key).await.unwrap_err(),
        cache
            .get_many::<Price>(std::slice::from_ref(&key))
            .await
            .unwrap_err(),
        cache.exists(&key).await.unwrap_err(),
        cache.set(&key, &price(1.0), LONG).await.unwrap_err(),
        cache.set_many(&values, LONG).await.unwrap_err(),
        cache
            .set_versioned(&key, &price(1.0), 1, LONG)
            .await
            .unwrap_err(),
        cache.delete(&key).await.unwrap_err(),
        cache.check().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Temporary);
        assert!(
            format!("{error:#}").ends_with("the cache is closed"),
            "{error:#}"
        );
    }
    assert!(!cache.status().connected);
}

async fn what_is_done_is_counted(cache: Cache) {
    let (key, other) = (key("a"), key("b"));
    cache.set(&key, &price(1.0), LONG).await.unwrap();
    cache.get::<Price>(&key).await.unwrap();
    cache.get::<Price>(&other).await.unwrap();
    cache.get::<Volume>(&key).await.unwrap();
    let keys = [key.clone(), other, key.clone(), key];
    cache.get_many::<Price>(&keys).await.unwrap();
    let status = cache.status();
    assert_eq!((status.hits, status.misses, status.rejected), (4, 2, 1));
    assert_eq!(
        (status.expired, status.errors, status.reconnects),
        (0, 0, 0)
    );
}

async fn what_is_known_to_be_absent_is_no_value(cache: Cache) {
    let key = key("a");
    let policy = LoadPolicy::new(LONG).not_found(LONG);
    let absent = || async { Err::<Price, _>(Error::not_found("price", "a")) };
    for _ in 0..2 {
        let error = cache.get_or_load(&key, policy, absent).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
    assert_eq!(cache.status().loads, 1);
    assert_eq!(cache.get::<Price>(&key).await.unwrap(), None);
    assert_eq!(
        cache
            .get_many::<Price>(std::slice::from_ref(&key))
            .await
            .unwrap(),
        [None]
    );
    // Not even looked at as a value.
    assert_eq!(cache.status().rejected, 0);
    assert!(!cache.exists(&key).await.unwrap());
    assert!(
        cache
            .set_versioned(&key, &price(1.0), 0, LONG)
            .await
            .unwrap()
    );
    assert_eq!(cache.get(&key).await.unwrap(), Some(price(1.0)));
}

async fn any_time_to_stay_stale_will_do(cache: Cache) {
    let (key, max) = (key("a"), Duration::MAX);
    for policy in [
        LoadPolicy::new(max).stale_if_error(max),
        LoadPolicy::new(max).stale_if_error(max).keep_newer(),
    ] {
        let load = || async { Ok(price(1.0)) };
        assert_eq!(
            cache.get_or_load(&key, policy, load).await.unwrap(),
            price(1.0)
        );
        assert_eq!(cache.get(&key).await.unwrap(), Some(price(1.0)));
        assert!(cache.delete(&key).await.unwrap());
    }
    assert_eq!(cache.status().not_kept, 0);
}
