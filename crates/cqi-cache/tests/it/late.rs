//! Writes that Redis carries out after their callers gave them up.

use std::time::Duration;

use cqi_cache::Cache;
use cqi_config::CacheConfig;
use cqi_errors::{Error, Kind};
use cqi_testkit::{Proxy, Redis};
use tokio::time::{Instant, sleep};

use crate::support::{LONG, Price, config, key, price, until};

/// A server, a cache with a slow way there, and one with a good one.
struct Late {
    redis: Redis,
    way: Proxy,
    slow: Cache,
    good: Cache,
}

impl Late {
    async fn new() -> Self {
        let redis = Redis::start().await.unwrap();
        let way = Proxy::to((redis.host(), redis.port()))
            .start()
            .await
            .unwrap();
        let slow = CacheConfig {
            hosts: vec![way.addr().to_string()],
            command_timeout: Duration::from_millis(100),
            ..config(&redis)
        };
        Self {
            slow: Cache::connect(&slow).await.unwrap(),
            good: Cache::connect(&config(&redis)).await.unwrap(),
            redis,
            way,
        }
    }

    /// Makes a write that is given up, does something meanwhile, and lets the write through.
    async fn write(
        &self,
        command: &str,
        write: impl Future<Output = Error>,
        meanwhile: impl Future<Output = ()>,
    ) {
        let before = self.count(command).await;
        self.way.freeze();
        assert_eq!(write.await.kind(), Kind::Timeout);
        meanwhile.await;
        assert_eq!(
            self.count(command).await,
            before + 1,
            "none but the one meanwhile"
        );
        self.way.pass();
        until(async || self.count(command).await == before + 2).await;
    }

    /// How many commands of a name the server has carried out.
    async fn count(&self, command: &str) -> u64 {
        let stats = self.redis.command(["INFO", "commandstats"]).await.unwrap();
        let stats = stats.text().unwrap();
        let calls = stats.split(&format!("cmdstat_{command}:calls=")).nth(1);
        let calls = calls.and_then(|rest| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse().unwrap())
    }
}

#[tokio::test]
async fn a_late_set_does_not_outlive_its_time() {
    let (late, key) = (Late::new().await, key("a"));
    let ttl = Duration::from_millis(300);
    let value = price(1.0);
    let set = async { late.slow.set(&key, &value, ttl).await.unwrap_err() };
    late.write("set", set, async {
        late.redis.command(["SET", "another", ""]).await.unwrap();
        sleep(ttl).await;
    })
    .await;
    let applied = Instant::now();
    let expired = late.good.status().expired;
    let got = late.good.get::<Price>(&key).await.unwrap();
    let exists = late.good.exists(&key).await.unwrap();
    assert_eq!((got, exists), (None, false));
    // It was there to be seen, or else this shows nothing.
    let seen = late.good.status().expired > expired;
    assert!(seen || applied.elapsed() > ttl / 2);
}

#[tokio::test]
async fn a_late_version_does_not_replace_a_higher_one() {
    let (late, key) = (Late::new().await, key("a"));
    let old = price(1.0);
    let set = async {
        late.slow
            .set_versioned(&key, &old, 1, LONG)
            .await
            .unwrap_err()
    };
    // The server knows the script from now on.
    assert!(late.good.set_versioned(&key, &old, 0, LONG).await.unwrap());
    late.write("evalsha", set, async {
        assert!(
            late.good
                .set_versioned(&key, &price(2.0), 2, LONG)
                .await
                .unwrap()
        );
    })
    .await;
    let got = late.good.get_versioned::<Price>(&key).await.unwrap();
    assert_eq!(got, Some((price(2.0), 2)));
}

#[tokio::test]
async fn a_late_set_without_a_version_replaces() {
    let (late, key) = (Late::new().await, key("a"));
    let old = price(1.0);
    let set = async { late.slow.set(&key, &old, LONG).await.unwrap_err() };
    late.write("set", set, async {
        late.good.set(&key, &price(2.0), LONG).await.unwrap();
    })
    .await;
    let got = late.good.get_versioned::<Price>(&key).await.unwrap();
    assert_eq!(got, Some((price(1.0), 0)));
}
