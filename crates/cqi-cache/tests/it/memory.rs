//! The memory backend's bounds.

use std::time::Duration;

use cqi_cache::{Cache, Key, Ttl};
use cqi_config::CacheConfig;
use cqi_errors::Kind;

use crate::support::{Blob, LONG, blob, key, until};

async fn cache(max_size: u64) -> Cache {
    let config = CacheConfig {
        max_size,
        ..CacheConfig::default()
    };
    Cache::connect(&config).await.unwrap()
}

#[tokio::test]
async fn values_go_when_their_bytes_exceed_the_bound() {
    let cache = cache(1 << 20).await;
    for n in 0..4_000 {
        cache.set(&key(n), &blob(1 << 10), LONG).await.unwrap();
        assert!(cache.status().size <= 1 << 20);
    }
    let status = cache.status();
    // Of 1 KiB, and what else it takes to keep them.
    assert!((600..1_024).contains(&status.entries), "{status:?}");
    assert!(status.size > 900_000, "{status:?}");
    assert_eq!(status.entries + status.evictions, 4_000);
}

#[tokio::test]
async fn many_small_values_are_bounded_too() {
    let cache = cache(1 << 20).await;
    for n in 0..20_000 {
        cache.set(&key(n), &blob(3), Ttl::Never).await.unwrap();
    }
    let status = cache.status();
    assert!(status.size <= 1 << 20);
    assert!((1_000..4_000).contains(&status.entries), "{status:?}");
}

#[tokio::test]
async fn what_is_larger_than_all_is_not_kept_and_replaces_what_was() {
    let cache = cache(10_000).await;
    let (key, other) = (key("a"), key("b"));
    cache.set(&key, &blob(100), LONG).await.unwrap();
    cache.set(&other, &blob(100), LONG).await.unwrap();
    cache.set(&key, &blob(10_000), LONG).await.unwrap();
    assert_eq!(cache.get::<Blob>(&key).await.unwrap(), None);
    cache
        .set_versioned(&key, &blob(100), 1, LONG)
        .await
        .unwrap();
    cache
        .set_versioned(&key, &blob(10_000), 2, LONG)
        .await
        .unwrap();
    assert_eq!(cache.get::<Blob>(&key).await.unwrap(), None);
    let long = Key::new("x".repeat(10_000));
    cache.set(&long, &blob(3), LONG).await.unwrap();
    assert_eq!(cache.get::<Blob>(&long).await.unwrap(), None);
    assert_eq!(cache.get(&other).await.unwrap(), Some(blob(100)));
    let status = cache.status();
    assert_eq!((status.entries, status.evictions), (1, 3));
}

#[tokio::test]
async fn expired_values_leave_their_room() {
    let cache = cache(1 << 20).await;
    for n in 0..100 {
        let ttl = Duration::from_millis(1 + n % 20);
        cache.set(&key(n), &blob(100), ttl).await.unwrap();
    }
    let many = [(key("many"), blob(100))];
    let short = Duration::from_millis(1);
    cache.set_many(&many, short).await.unwrap();
    let versioned = cache
        .set_versioned(&key("versioned"), &blob(100), 1, short)
        .await;
    assert!(versioned.unwrap());
    cache.set(&key("stays"), &blob(100), LONG).await.unwrap();
    until(async || cache.status().entries == 1).await;
    let status = cache.status();
    assert!(status.size < 1_000, "{status:?}");
    assert_eq!(status.evictions, 0);
}

#[tokio::test]
async fn caches_are_apart_and_a_closed_one_is_empty() {
    let (one, two) = (cache(64 << 20).await, cache(1 << 20).await);
    // More than moka gives up at a time.
    for n in 0..20_000 {
        one.set(&key(n), &blob(3), LONG).await.unwrap();
    }
    assert_eq!(two.get::<Blob>(&key(1)).await.unwrap(), None);
    one.close().await;
    let status = one.status();
    assert_eq!((status.entries, status.size), (0, 0));
}

#[tokio::test]
async fn debug_shows_no_values() {
    let cache = cache(1 << 20).await;
    cache.set(&key("secret"), &blob(100), LONG).await.unwrap();
    let shown = format!("{cache:?}");
    assert!(shown.contains("Memory"), "{shown}");
    assert!(
        !shown.contains("secret") && !shown.contains("7, 7"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_jitter_that_is_no_fraction_is_refused() {
    for ttl_jitter in [f64::NAN, -0.1, 1.1] {
        let config = CacheConfig {
            ttl_jitter,
            ..CacheConfig::default()
        };
        let error = Cache::connect(&config).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Permanent);
        assert!(error.to_string().contains("cache.ttl_jitter"), "{error}");
    }
}
