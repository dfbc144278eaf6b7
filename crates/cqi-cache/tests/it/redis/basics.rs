//! What calls do on a server that works, by whichever way they go.

use cqi_errors::Kind;
use cqi_testkit::Redis;
use fred::interfaces::ClientLike as _;
use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn a_value_set_is_got() {
    let redis = Redis::start().await.unwrap();
    let cache = connect(&redis).await;
    assert_eq!(cache.get::<Blob>(&key(1)).await.unwrap(), None);
    let value = blob("one");
    cache.set(&key(1), &value, LONG).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap(), Some(value));
    cache.check().await.unwrap();
    cache.close().await;
}

#[tokio::test]
async fn every_connection_logs_in_and_selects_the_database() {
    let redis = Redis::builder().private().start().await.unwrap();
    let password = "p w'\"\\\r\nFLUSHALL é";
    let user = [
        "ACL",
        "SETUSER",
        "app",
        "on",
        &format!(">{password}"),
        "~*",
        "+@all",
    ];
    redis.command(user).await.unwrap();
    let config = CacheConfig {
        username: "app".to_owned(),
        password: Secret::new(password),
        database: 3,
        connections: 2,
        ..config(&redis)
    };
    let cache = Cache::connect(&config).await.unwrap();
    for at in 0..100 {
        cache.set(&key(at), &blob("x"), LONG).await.unwrap();
    }
    let space = redis.command(["INFO", "keyspace"]).await.unwrap();
    let space = String::from_utf8(space.bytes().unwrap().to_vec()).unwrap();
    assert!(space.contains("db3:keys=100,"), "{space}");
    assert!(!space.contains("db0"), "{space}");
    let clients = redis.command(["CLIENT", "LIST"]).await.unwrap();
    let clients = String::from_utf8(clients.bytes().unwrap().to_vec()).unwrap();
    let ours = clients
        .lines()
        .filter(|line| line.contains("user=app"))
        .count();
    // Two for fred, and two short ways, the second of which may still be opened.
    assert!((3..=4).contains(&ours), "{clients}");
}

#[tokio::test]
async fn a_user_may_have_no_password() {
    let redis = Redis::builder().private().start().await.unwrap();
    let user = ["ACL", "SETUSER", "open", "on", "nopass", "~*", "+@all"];
    redis.command(user).await.unwrap();
    let config = CacheConfig {
        username: "open".to_owned(),
        ..config(&redis)
    };
    let cache = Cache::connect(&config).await.unwrap();
    cache.set(&key(1), &blob("x"), LONG).await.unwrap();
}

#[tokio::test]
async fn a_script_is_sent_once_and_again_when_the_server_has_forgotten_it() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cache = connect(&redis).await;
    let sent = async || {
        let stats = redis.command(["INFO", "commandstats"]).await.unwrap();
        let stats = String::from_utf8(stats.bytes().unwrap().to_vec()).unwrap();
        let calls = |name: &str| -> u32 {
            let line = stats
                .lines()
                .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
            let calls = line.and_then(|line| line.split_once("calls=")?.1.split_once(','));
            calls.map_or(0, |(calls, _)| calls.parse().unwrap())
        };
        (calls("evalsha"), calls("eval"))
    };
    for version in 1..=5 {
        assert!(
            cache
                .set_versioned(&key(1), &blob("x"), version, LONG)
                .await
                .unwrap()
        );
    }
    assert_eq!(sent().await, (5, 1));
    redis.command(["SCRIPT", "FLUSH"]).await.unwrap();
    assert!(
        !cache
            .set_versioned(&key(1), &blob("x"), 1, LONG)
            .await
            .unwrap()
    );
    assert!(
        cache
            .set_versioned(&key(1), &blob("x"), 6, LONG)
            .await
            .unwrap()
    );
    assert_eq!(sent().await, (7, 2));
}

#[tokio::test]
async fn versions_are_numbers_and_not_text() {
    let redis = Redis::start().await.unwrap();
    let cache = connect(&redis).await;
    let order = [
        1,
        9,
        10,
        127,
        128,
        255,
        256,
        65_535,
        1 << 31,
        1 << 63,
        u64::MAX,
    ];
    for pair in order.windows(2) {
        assert!(
            cache
                .set_versioned(&key(1), &blob("x"), pair[1], None)
                .await
                .unwrap()
        );
        let kept = !cache
            .set_versioned(&key(1), &blob("y"), pair[0], None)
            .await
            .unwrap();
        assert!(kept, "{pair:?}");
        cache.delete(&key(1)).await.unwrap();
    }
}

#[tokio::test]
async fn fred_is_there_for_what_the_cache_does_not_have() {
    let redis = Redis::start().await.unwrap();
    let cache = connect(&redis).await;
    cache.client().unwrap().ping::<()>(None).await.unwrap();
    cache.close().await;
    assert_eq!(cache.client().unwrap_err().kind(), Kind::Temporary);
    let memory = Cache::connect(&CacheConfig::default()).await.unwrap();
    assert_eq!(memory.client().unwrap_err().kind(), Kind::Permanent);
}

/// The connections of the cache and what they say: fred's first, and then the short way.
async fn clients(redis: &Redis) -> Vec<(u64, String)> {
    let clients = redis.command(["CLIENT", "LIST"]).await.unwrap();
    let clients = String::from_utf8(clients.bytes().unwrap().to_vec()).unwrap();
    let others = clients.lines().filter(|line| !line.contains("cmd=client"));
    let clients = others.filter_map(|line| line.strip_prefix("id=")?.split_once(' '));
    let mut clients: Vec<_> = clients
        .map(|(id, what)| (id.parse().unwrap(), what.to_owned()))
        .collect();
    clients.sort_unstable();
    clients
}

/// Waits until the short way has last done a command, which is repeated meanwhile.
async fn short_way(redis: &Redis, done: &str, mut repeat: impl AsyncFnMut()) -> u64 {
    loop {
        repeat().await;
        if let [_, .., (id, what)] = &clients(redis).await[..]
            && what.contains(&format!("cmd={done} "))
        {
            return *id;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn kill(redis: &Redis, client: u64) {
    let id = client.to_string();
    redis.command(["CLIENT", "KILL", "ID", &id]).await.unwrap();
}

/// A server may carry out what it got by a connection that is lost: were it sent once more, and a newer
/// value after that, the older one could stay.
#[tokio::test]
async fn a_write_on_a_short_way_that_breaks_is_not_sent_twice() {
    let redis = Redis::builder().private().start().await.unwrap();
    let config = CacheConfig {
        command_timeout: LONG,
        ..config(&redis)
    };
    let cache = Cache::connect(&config).await.unwrap();
    let get = async || cache.get::<Blob>(&key(1)).await.map(drop).unwrap();
    for many in [false, true] {
        short_way(&redis, "getrange", get).await;
        redis
            .command(["CLIENT", "PAUSE", "60000", "WRITE"])
            .await
            .unwrap();
        let entries = [(key(1), blob("1")), (key(2), blob("2"))];
        let set = async {
            match many {
                false => cache.set(&key(1), &blob("1"), LONG).await,
                true => cache.set_many(&entries, LONG).await,
            }
        };
        let lose = async {
            let id = short_way(&redis, "set", async || {}).await;
            kill(&redis, id).await;
        };
        let (set, ()) = tokio::join!(set, lose);
        let error = set.unwrap_err();
        assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
        assert!(format!("{error:?}").contains("carried out later"));
        redis.command(["CLIENT", "UNPAUSE"]).await.unwrap();
        assert_eq!(cache.get::<Blob>(&key(1)).await.unwrap(), None);
        assert_eq!(cache.status().reconnects, 0);
    }
}

/// When only the short way breaks, reads are made by the other one.
#[tokio::test]
async fn a_short_way_that_breaks_costs_no_read() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cache = connect(&redis).await;
    let mut calls = JoinSet::new();
    for task in 0..8 {
        let cache = cache.clone();
        calls.spawn(async move {
            for round in 0..300 {
                let key = key(format!("{task}-{}", round % 10));
                let value = blob(vec![task; 2_000]);
                while let Err(error) = cache.set(&key, &value, LONG).await {
                    assert_eq!(error.kind(), Kind::Temporary, "{error:?}");
                }
                assert_eq!(cache.get(&key).await.unwrap(), Some(value.clone()));
                let both = [key.clone(), super::key("none")];
                assert_eq!(cache.get_many(&both).await.unwrap(), [Some(value), None]);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    let begin = Instant::now();
    let mut killed = 0;
    while killed < 10 {
        assert!(begin.elapsed() < LONG);
        if let [_, .., (last, _)] = clients(&redis).await[..] {
            kill(&redis, last).await;
            killed += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    calls.join_all().await;
    assert_eq!(cache.status().reconnects, 0);
    // A write may be on its way when the connection is lost.
    assert!(cache.status().errors <= 8 * killed);
}

#[tokio::test]
async fn many_go_in_batches_and_come_in_order() {
    let redis = Redis::start().await.unwrap();
    let cache = connect(&redis).await;
    let entries: Vec<_> = (0..1_300)
        .map(|at| (key(at), blob(format!("{at}"))))
        .collect();
    cache.set_many(&entries, LONG).await.unwrap();
    redis.command(["DEL", &key(700).to_string()]).await.unwrap();
    let keys: Vec<_> = (0..1_400).rev().map(key).collect();
    let got = cache.get_many::<Blob>(&keys).await.unwrap();
    for (at, got) in (0..1_400).rev().zip(got) {
        let expected = (at < 1_300 && at != 700).then(|| blob(format!("{at}")));
        assert_eq!(got, expected, "{at}");
    }
    assert_eq!(cache.delete_many(&keys).await.unwrap(), 1_299);
}

/// More bytes than the short way takes at once.
#[tokio::test]
async fn many_large_values() {
    let redis = Redis::start().await.unwrap();
    let config = CacheConfig {
        command_timeout: Duration::from_secs(5),
        ..config(&redis)
    };
    let cache = Cache::connect(&config).await.unwrap();
    let entries: Vec<_> = (0..20_u8)
        .map(|at| (key(at), blob(vec![at; 700_000])))
        .collect();
    cache.set_many(&entries, LONG).await.unwrap();
    let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let got = cache.get_many::<Blob>(&keys).await.unwrap();
    assert!(got.into_iter().eq(values.into_iter().map(Some)));
}

#[tokio::test]
async fn values_that_cannot_be_set_are_counted() {
    let redis = Redis::builder()
        .user("app", "pw", "~* +@all")
        .start()
        .await
        .unwrap();
    redis
        .command([
            "ACL",
            "SETUSER",
            "app",
            "resetkeys",
            "~blob:0",
            "~blob:1",
            "%R~*",
        ])
        .await
        .unwrap();
    let config = CacheConfig {
        username: "app".to_owned(),
        password: Secret::new("pw"),
        ..config(&redis)
    };
    let cache = Cache::connect(&config).await.unwrap();
    let entries: Vec<_> = (0..5).map(|at| (key(at), blob("x"))).collect();
    let error = cache.set_many(&entries, LONG).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(format!("{error:?}").contains("3 of 5"), "{error:?}");
    assert_eq!(cache.get(&key(1)).await.unwrap(), Some(blob("x")));
    assert_eq!(cache.get::<Blob>(&key(2)).await.unwrap(), None);
}
