//! Servers that fail: every call ends within its bound, with the right kind, and works again soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cqi_cache::RedisError;
use cqi_errors::{Error, Kind};
use cqi_testkit::Proxy;
use tokio::task::JoinSet;

use super::*;

/// How soon after its return a server is used.
const RETURN: Duration = Duration::from_secs(1);

struct Ended {
    name: &'static str,
    error: Option<Error>,
    after: Duration,
}

/// Makes one call of each sort at once; each ends within its bound.
async fn each(cache: &Cache) -> Vec<Ended> {
    let mut calls = JoinSet::new();
    macro_rules! call {
        ($name:literal, |$cache:ident| $call:expr) => {
            let $cache = cache.clone();
            calls.spawn(async move {
                let begin = Instant::now();
                let error = $call.await.err();
                Ended {
                    name: $name,
                    error,
                    after: begin.elapsed(),
                }
            });
        };
    }
    let keys = [key(1), key(2), key(3)];
    let entries = [(key(1), blob("1")), (key(2), blob("2"))];
    call!("get", |cache| async {
        cache.get::<Blob>(&key(1)).await.map(drop)
    });
    call!("exists", |cache| async {
        cache.exists(&key(1)).await.map(drop)
    });
    call!("set", |cache| async {
        cache.set(&key(1), &blob("1"), LONG).await
    });
    call!("delete", |cache| async {
        cache.delete(&key(4)).await.map(drop)
    });
    call!("check", |cache| async { cache.check().await });
    call!("set_versioned", |cache| async {
        cache
            .set_versioned(&key(5), &blob("1"), 1, LONG)
            .await
            .map(drop)
    });
    call!("get_many", |cache| async {
        cache.get_many::<Blob>(&keys).await.map(drop)
    });
    call!("set_many", |cache| async {
        cache.set_many(&entries, LONG).await
    });
    let ended = calls.join_all().await;
    for call in &ended {
        let bound = CacheConfig::default().command_timeout + LENIENCY;
        assert!(call.after <= bound, "{} took {:?}", call.name, call.after);
    }
    ended
}

#[track_caller]
fn assert_all(ended: Vec<Ended>, kinds: &[Kind]) {
    for call in ended {
        let Some(error) = call.error else {
            panic!("{} succeeds", call.name);
        };
        assert!(kinds.contains(&error.kind()), "{}: {error:?}", call.name);
    }
}

#[track_caller]
fn assert_none_fails(ended: Vec<Ended>) {
    for call in ended {
        assert!(call.error.is_none(), "{}: {:?}", call.name, call.error);
    }
}

/// Waits until calls fail without waiting, which they do once the loss is known.
async fn known(cache: &Cache) {
    let begin = Instant::now();
    loop {
        let call = Instant::now();
        let failed = cache.get::<Blob>(&key(1)).await.is_err();
        if failed && call.elapsed() < Duration::from_millis(10) {
            break;
        }
        assert!(
            begin.elapsed() < LONG,
            "still waits for a server that is gone"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..20 {
        let call = Instant::now();
        let error = cache.get::<Blob>(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
        assert!(call.elapsed() < AT_ONCE, "{:?}", call.elapsed());
    }
}

async fn proxy_to(redis: &Redis) -> Proxy {
    Proxy::to((redis.host().to_owned(), redis.port()))
        .start()
        .await
        .unwrap()
}

async fn through(proxy: &Proxy) -> Cache {
    Cache::connect(&config_of(proxy.addr().to_string()))
        .await
        .unwrap()
}

#[tokio::test]
async fn killed() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cache = connect(&redis).await;
    assert_none_fails(each(&cache).await);
    redis.kill().unwrap();
    assert_all(each(&cache).await, &[Kind::Temporary]);
    known(&cache).await;
    redis.restart().await.unwrap();
    assert!(back(&cache).await < RETURN);
    assert_none_fails(each(&cache).await);
}

#[tokio::test]
async fn frozen() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cache = connect(&redis).await;
    assert_none_fails(each(&cache).await);
    redis.freeze().unwrap();
    let begin = Instant::now();
    assert_all(each(&cache).await, &[Kind::Timeout]);
    known(&cache).await;
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    redis.thaw().unwrap();
    assert!(back(&cache).await < RETURN);
    assert_none_fails(each(&cache).await);
}

/// Steady calls do not hide that no answers come.
#[tokio::test]
async fn frozen_under_load_by_a_network_that_swallows_everything() {
    let redis = Redis::start().await.unwrap();
    let proxy = proxy_to(&redis).await;
    let cache = through(&proxy).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for task in 0..8 {
        let (cache, stop) = (cache.clone(), Arc::clone(&stop));
        load.spawn(async move {
            let value = blob(vec![7; 64 * 1024]);
            while !stop.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let _ = cache.set(&key(task), &value, LONG).await;
                let bound = CacheConfig::default().command_timeout + LENIENCY;
                assert!(begin.elapsed() < bound, "{:?}", begin.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    proxy.freeze();
    known(&cache).await;
    proxy.pass();
    assert!(back(&cache).await < RETURN);
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
}

/// Callers with less patience than the cache do not hide that no answers come.
#[tokio::test]
async fn frozen_and_nobody_waits_for_the_end() {
    let redis = Redis::start().await.unwrap();
    let proxy = proxy_to(&redis).await;
    let cache = through(&proxy).await;
    cache.set(&key(1), &blob("1"), LONG).await.unwrap();
    proxy.freeze();
    let begin = Instant::now();
    while cache.status().connected {
        let key = key(1);
        let call = cache.get::<Blob>(&key);
        let _ = tokio::time::timeout(Duration::from_millis(20), call).await;
        assert!(begin.elapsed() < LONG / 2, "the loss is not noticed");
    }
    proxy.pass();
    assert!(back(&cache).await < RETURN);
}

#[tokio::test]
async fn refusing() {
    let redis = Redis::start().await.unwrap();
    let proxy = proxy_to(&redis).await;
    let cache = through(&proxy).await;
    proxy.refuse();
    proxy.cut();
    assert_all(each(&cache).await, &[Kind::Temporary]);
    known(&cache).await;
    proxy.pass();
    assert!(back(&cache).await < RETURN);
}

#[tokio::test]
async fn out_of_memory() {
    let redis = Redis::builder()
        .setting("maxmemory", "1")
        .setting("maxmemory-policy", "noeviction")
        .private()
        .start()
        .await
        .unwrap();
    let cache = connect(&redis).await;
    for call in each(&cache).await {
        let writes = matches!(call.name, "set" | "set_many" | "set_versioned");
        assert_eq!(
            call.error.is_some(),
            writes,
            "{}: {:?}",
            call.name,
            call.error
        );
        if let Some(error) = call.error {
            assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
            assert_eq!(
                RedisError::of(&error).and_then(RedisError::code),
                Some("OOM")
            );
            assert!(
                format!("{error:?}").contains("maxmemory-policy"),
                "{error:?}"
            );
        }
    }
    redis
        .command(["CONFIG", "SET", "maxmemory", "0"])
        .await
        .unwrap();
    assert_none_fails(each(&cache).await);
}

#[tokio::test]
async fn a_replica_is_read_and_takes_no_writes() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cache = connect(&redis).await;
    cache.set(&key(1), &blob("1"), LONG).await.unwrap();
    redis
        .command(["REPLICAOF", "127.0.0.1", "1"])
        .await
        .unwrap();
    for call in each(&cache).await {
        match call.error {
            Some(error) => {
                assert_eq!(error.kind(), Kind::Temporary, "{}: {error:?}", call.name);
                assert_eq!(
                    RedisError::of(&error).and_then(RedisError::code),
                    Some("READONLY")
                );
            }
            None => assert!(!call.name.starts_with("set"), "{} succeeds", call.name),
        }
    }
    redis
        .command(["CONFIG", "SET", "replica-serve-stale-data", "no"])
        .await
        .unwrap();
    let error = cache.get::<Blob>(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
    assert_eq!(
        RedisError::of(&error).and_then(RedisError::code),
        Some("MASTERDOWN")
    );
    redis.command(["REPLICAOF", "NO", "ONE"]).await.unwrap();
    assert!(back(&cache).await < RETURN);
    assert_none_fails(each(&cache).await);
}

#[tokio::test]
async fn slow() {
    let redis = Redis::start().await.unwrap();
    let proxy = proxy_to(&redis).await;
    let cache = through(&proxy).await;
    proxy.delay(Duration::from_millis(500));
    for _ in 0..3 {
        assert_all(each(&cache).await, &[Kind::Timeout, Kind::Temporary]);
    }
    proxy.pass();
    assert!(back(&cache).await < RETURN);
}

#[tokio::test]
async fn cut_in_the_middle_of_an_answer() {
    let redis = Redis::start().await.unwrap();
    let proxy = proxy_to(&redis).await;
    let cache = through(&proxy).await;
    let value = blob(vec![b'x'; 100_000]);
    for at in [1, 10, 5_000, 50_000] {
        proxy.pass();
        back(&cache).await;
        cache.set(&key("long"), &value, LONG).await.unwrap();
        proxy.cut_after(at);
        let begin = Instant::now();
        let error = cache.get::<Blob>(&key("long")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
        assert!(begin.elapsed() < LENIENCY, "{:?}", begin.elapsed());
    }
    proxy.pass();
    assert!(back(&cache).await < RETURN);
    assert_eq!(cache.get(&key("long")).await.unwrap(), Some(value));
}

#[tokio::test]
async fn garbage() {
    let redis = Redis::start().await.unwrap();
    let proxy = proxy_to(&redis).await;
    let cache = through(&proxy).await;
    proxy.corrupt();
    assert_all(each(&cache).await, &[Kind::Temporary]);
    proxy.pass();
    assert!(back(&cache).await < RETURN);
    assert_none_fails(each(&cache).await);
}

#[tokio::test]
async fn another_password_at_run_time() {
    let redis = Redis::builder()
        .user("app", "hunter2", "~* +@all")
        .start()
        .await
        .unwrap();
    let config = CacheConfig {
        username: "app".to_owned(),
        password: Secret::new("hunter2"),
        ..config(&redis)
    };
    let cache = Cache::connect(&config).await.unwrap();
    redis
        .command(["ACL", "SETUSER", "app", "<hunter2", ">swordfish"])
        .await
        .unwrap();
    redis
        .command(["CLIENT", "KILL", "USER", "app"])
        .await
        .unwrap();
    let begin = Instant::now();
    loop {
        let error = cache.get::<Blob>(&key(1)).await.map(drop).err();
        if let Some(error) = error.filter(|error| error.kind() == Kind::Permanent) {
            assert_eq!(
                RedisError::of(&error).and_then(RedisError::code),
                Some("WRONGPASS")
            );
            assert!(format!("{error:?}").contains("cache.password"), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            break;
        }
        assert!(begin.elapsed() < RETURN, "the password is not missed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_all(each(&cache).await, &[Kind::Permanent]);
    redis
        .command(["ACL", "SETUSER", "app", ">hunter2"])
        .await
        .unwrap();
    assert!(back(&cache).await < RETURN);
}

#[tokio::test]
async fn clients_killed_in_a_loop() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cache = connect(&redis).await;
    cache.set(&key(1), &blob("1"), LONG).await.unwrap();
    for _ in 0..50 {
        redis
            .command(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            .await
            .unwrap();
        for call in each(&cache).await {
            // A call that was queued in the moment of the loss ends at its bound.
            if let Some(error) = call.error {
                let kinds = [Kind::Temporary, Kind::Timeout];
                assert!(kinds.contains(&error.kind()), "{error:?}");
            }
        }
        back(&cache).await;
        assert_eq!(
            cache.get(&key("back")).await.unwrap_or(Some(blob("back"))),
            Some(blob("back"))
        );
    }
    assert!(back(&cache).await < RETURN);
    assert_none_fails(each(&cache).await);
}

#[tokio::test]
async fn a_script_that_keeps_the_server_busy() {
    let redis = Redis::builder()
        .setting("busy-reply-threshold", "50")
        .private()
        .start()
        .await
        .unwrap();
    let cache = connect(&redis).await;
    let busy = redis.clone();
    let mut script = JoinSet::new();
    script.spawn(async move { busy.command(["EVAL", "while true do end", "0"]).await });
    let begin = Instant::now();
    loop {
        let error = each(&cache).await.into_iter().find_map(|call| call.error);
        if let Some(error) = error {
            assert!(
                [Kind::Temporary, Kind::Timeout].contains(&error.kind()),
                "{error:?}"
            );
            if RedisError::of(&error).and_then(RedisError::code) == Some("BUSY") {
                break;
            }
        }
        assert!(begin.elapsed() < LONG);
    }
    redis.command(["SCRIPT", "KILL"]).await.unwrap();
    assert!(script.join_next().await.unwrap().unwrap().is_err());
    assert!(back(&cache).await < RETURN);
}

#[tokio::test]
async fn a_server_that_loads_its_data() {
    let redis = Redis::builder()
        .setting("enable-debug-command", "yes")
        .setting("key-load-delay", "1000")
        .setting("loading-process-events-interval-bytes", "1024")
        .private()
        .start()
        .await
        .unwrap();
    let cache = connect(&redis).await;
    redis.command(["DEBUG", "POPULATE", "1500"]).await.unwrap();
    let loading = redis.clone();
    let mut loaded = JoinSet::new();
    let load = loaded.spawn(async move { loading.command(["DEBUG", "RELOAD"]).await });
    let mut seen = false;
    while !load.is_finished() {
        let error = each(&cache).await.into_iter().find_map(|call| call.error);
        if let Some(error) = error {
            assert!(
                [Kind::Temporary, Kind::Timeout].contains(&error.kind()),
                "{error:?}"
            );
            seen |= RedisError::of(&error).and_then(RedisError::code) == Some("LOADING");
        }
    }
    assert!(seen, "the server was never seen to load");
    let loaded = loaded.join_next().await.unwrap();
    let _ = loaded.unwrap().unwrap();
    assert!(back(&cache).await < RETURN);
}

#[tokio::test]
async fn a_user_who_may_not() {
    let redis = Redis::builder()
        .user("reader", "pw", "~* -@all +getrange +ping")
        .start()
        .await
        .unwrap();
    let config = CacheConfig {
        username: "reader".to_owned(),
        password: Secret::new("pw"),
        ..config(&redis)
    };
    let cache = Cache::connect(&config).await.unwrap();
    for call in each(&cache).await {
        let reads = matches!(call.name, "get" | "get_many" | "exists" | "check");
        assert_eq!(
            call.error.is_none(),
            reads,
            "{}: {:?}",
            call.name,
            call.error
        );
        if let Some(error) = call.error {
            assert_eq!(error.kind(), Kind::Permanent, "{error:?}");
            assert_eq!(
                RedisError::of(&error).and_then(RedisError::code),
                Some("NOPERM")
            );
            assert!(format!("{error:?}").contains("cache.username"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_huge_value_of_somebody_else_is_a_miss_and_is_not_transferred() {
    let redis = Redis::start().await.unwrap();
    let proxy = proxy_to(&redis).await;
    let cache = through(&proxy).await;
    let huge = key("huge").to_string();
    redis
        .command(["SETRANGE", &huge, "104857599", "x"])
        .await
        .unwrap();
    let before = proxy.bytes_to_client();
    assert_eq!(cache.get::<Blob>(&key("huge")).await.unwrap(), None);
    let keys = [key("huge"), key("other")];
    assert_eq!(cache.get_many::<Blob>(&keys).await.unwrap(), [None, None]);
    assert!(!cache.exists(&key("huge")).await.unwrap());
    let transferred = proxy.bytes_to_client() - before;
    assert!(transferred < 3 << 20, "{transferred} bytes for 100 MB");
    cache.set(&key("huge"), &blob("small"), LONG).await.unwrap();
    assert_eq!(cache.get(&key("huge")).await.unwrap(), Some(blob("small")));
}

#[tokio::test]
async fn a_value_of_another_type_is_a_miss_and_is_replaced() {
    let redis = Redis::start().await.unwrap();
    let cache = connect(&redis).await;
    let list = key("list").to_string();
    for versioned in [false, true] {
        redis.command(["DEL", &list]).await.unwrap();
        redis.command(["RPUSH", &list, "a", "b"]).await.unwrap();
        assert_eq!(cache.get::<Blob>(&key("list")).await.unwrap(), None);
        let keys = [key("list"), key("other")];
        assert_eq!(cache.get_many::<Blob>(&keys).await.unwrap(), [None, None]);
        assert!(!cache.exists(&key("list")).await.unwrap());
        if versioned {
            assert!(
                cache
                    .set_versioned(&key("list"), &blob("v"), 1, LONG)
                    .await
                    .unwrap()
            );
        } else {
            cache.set(&key("list"), &blob("v"), LONG).await.unwrap();
        }
        assert_eq!(cache.get(&key("list")).await.unwrap(), Some(blob("v")));
    }
}
