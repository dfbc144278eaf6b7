//! Requests whose answers are kept in Redis: what is seen of it, and what its loss does to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing;
use cqi_cache::{Cache, Key};
use cqi_config::{CacheBackend, CacheConfig};
use cqi_contracts::markets::v1::Price;
use cqi_errors::Result;
use cqi_testkit::{Proxy, Redis};
use cqi_trace::testing::{ReceivedSpan, SpanKind};
use http::Version;
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use crate::client::{Client, get};
use crate::server::Servers;
use crate::telemetry::Telemetry;

const COMMAND_TIMEOUT: Duration = Duration::from_millis(200);

/// A cache that counts how often its loader ran.
#[derive(Clone)]
struct Prices {
    cache: Cache,
    loads: Arc<AtomicUsize>,
}

impl Prices {
    async fn connect(address: String, telemetry: &Telemetry) -> Self {
        let config = CacheConfig {
            backend: CacheBackend::Redis,
            hosts: vec![address],
            tls: false,
            command_timeout: COMMAND_TIMEOUT,
            ..CacheConfig::default()
        };
        let cache = Cache::connect(&config).await.unwrap();
        cache.register_metrics(&telemetry.metrics).unwrap();
        Self {
            cache,
            loads: Arc::default(),
        }
    }

    fn routes(&self) -> Router {
        Router::new()
            .route("/price/{asset}", routing::get(price))
            .with_state(self.clone())
    }
}

async fn price(State(prices): State<Prices>, Path(asset): Path<String>) -> Result<String> {
    let key = Key::new("price").part(&asset);
    let load = async move || {
        info!("asking the venue");
        prices.loads.fetch_add(1, Ordering::Relaxed);
        Ok(Price {
            market_id: Some(asset),
            ..Price::default()
        })
    };
    let price = prices.cache.get_or_load(&key, None, load).await?;
    Ok(price.market_id.unwrap_or_default())
}

async fn read(client: &mut Client, asset: &str) -> (u16, String) {
    let path = format!("/price/{asset}");
    let answer = client.send(get(&path)).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn a_miss_and_a_hit_are_told_by_spans_lines_and_counts() {
    let telemetry = Telemetry::start();
    let port = telemetry.block_on(async {
        let redis = Redis::start().await.unwrap();
        let prices = Prices::connect(redis.address(), &telemetry).await;
        let servers = Servers::with_routes(telemetry.layers(), prices.routes()).await;
        let mut client = Client::connect(servers.http, Version::HTTP_11).await;
        for _ in 0..2 {
            assert_eq!(read(&mut client, "btc").await, (200, "btc".to_owned()));
        }
        drop(client);
        telemetry.rest().await;
        servers.stop().await;
        assert_eq!(prices.loads.load(Ordering::Relaxed), 1);
        assert_counts(&telemetry, &[("hit", 1.0), ("miss", 1.0)]);
        prices.cache.close().await;
        redis.port()
    });
    telemetry.tracing.shutdown(Duration::from_secs(10)).unwrap();
    let spans = telemetry.collector.spans();
    let mut requests: Vec<_> = spans
        .iter()
        .filter(|span| span.kind == SpanKind::Server)
        .collect();
    requests.sort_by_key(|span| span.start);
    let [miss, hit] = requests[..] else {
        panic!("{requests:?}");
    };
    let below = |request: &ReceivedSpan| -> Vec<String> {
        let mut below: Vec<_> = spans
            .iter()
            .filter(|span| span.trace_id == request.trace_id && span.parent_id.is_some())
            .collect();
        below.sort_by_key(|span| span.start);
        below.iter().map(|span| span.name.clone()).collect()
    };
    assert_eq!(below(miss), ["GETRANGE", "SET"]);
    assert_eq!(below(hit), ["GETRANGE"]);

    let lines = telemetry.logs.lines();
    let loading = lines
        .iter()
        .find(|line| line["message"] == "asking the venue")
        .unwrap();
    assert_eq!(loading["trace_id"], format!("{:032x}", miss.trace_id));
    assert_eq!(loading["request_id"], "the-one");

    let command = spans.iter().find(|span| span.name == "SET").unwrap();
    assert_eq!(command.kind, SpanKind::Client);
    let told = |name: &str| command.attributes.get(name);
    for (name, value) in [
        ("db.system.name", "redis".to_owned()),
        ("db.operation.name", "SET".to_owned()),
        ("db.query.text", "SET price:btc".to_owned()),
        ("server.address", "127.0.0.1".to_owned()),
        ("server.port", port.to_string()),
    ] {
        let found = told(name).unwrap_or_else(|| panic!("{name}: {command:?}"));
        assert_eq!(found.to_string(), value, "{name}");
    }
}

/// What a client found out.
#[derive(Debug, Default)]
struct Seen {
    answers: usize,
    slowest: Duration,
}

/// Reads until told to stop; anything but a right answer ends the test.
async fn keep_reading(mut client: Client, seed: u64, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut random = fastrand::Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        let asset = format!("asset-{}", random.u8(..50));
        let asked = Instant::now();
        assert_eq!(read(&mut client, &asset).await, (200, asset));
        seen.slowest = seen.slowest.max(asked.elapsed());
        seen.answers += 1;
    }
    seen
}

/// Waits until values come from Redis again.
async fn hits(prices: &Prices) {
    let key = Key::new("price").part("probe");
    let kept = async {
        loop {
            let value = Price::default();
            let set = prices.cache.set(&key, &value, Duration::from_secs(9)).await;
            if set.is_ok() && matches!(prices.cache.get::<Price>(&key).await, Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let back = timeout(Duration::from_secs(1), kept).await;
    assert!(back.is_ok(), "a second after its return Redis is not used");
}

#[test]
fn no_request_fails_while_redis_dies_freezes_vanishes_and_returns() {
    let telemetry = Telemetry::sampling(0.01);
    telemetry.block_on(async {
        let redis = Redis::builder().private().start().await.unwrap();
        let proxy = Proxy::to(("127.0.0.1", redis.port()))
            .start()
            .await
            .unwrap();
        let address = format!("127.0.0.1:{}", proxy.port());
        let prices = Prices::connect(address, &telemetry).await;
        let servers = Servers::with_routes(telemetry.layers(), prices.routes()).await;
        let stop = Arc::<AtomicBool>::default();
        let mut readers = JoinSet::new();
        for seed in 0..8 {
            let client = Client::connect(servers.http, Version::HTTP_11).await;
            readers.spawn(keep_reading(client, seed, Arc::clone(&stop)));
        }
        let pause = || sleep(Duration::from_millis(300));
        for _ in 0..3 {
            pause().await;
            redis.kill().unwrap();
            pause().await;
            redis.restart().await.unwrap();
            hits(&prices).await;
            redis.freeze().unwrap();
            sleep(3 * COMMAND_TIMEOUT).await;
            redis.thaw().unwrap();
            hits(&prices).await;
            proxy.cut();
            pause().await;
            proxy.pass();
            hits(&prices).await;
        }
        stop.store(true, Ordering::Relaxed);
        let seen = readers.join_all().await;
        let slowest = seen.iter().map(|seen| seen.slowest).max().unwrap();
        let bound = COMMAND_TIMEOUT + Duration::from_millis(250);
        assert!(slowest < 2 * bound, "{seen:?}");
        assert!(seen.iter().all(|seen| seen.answers > 100), "{seen:?}");
        telemetry.rest().await;
        servers.stop().await;

        let samples = telemetry.samples();
        let requests = samples.sum(
            "service_http_request_duration_seconds_count",
            &[("path", "/price/{asset}"), ("status_code", "200")],
        );
        let answers: usize = seen.iter().map(|seen| seen.answers).sum();
        assert_eq!(requests, answers as f64);
        assert_eq!(
            samples.sum("service_cache_loads_total", &[]),
            prices.loads.load(Ordering::Relaxed) as f64
        );
        assert!(samples.sum("service_cache_operation_errors_total", &[]) > 0.0);
        prices.cache.close().await;
    });
}

fn assert_counts(telemetry: &Telemetry, wanted: &[(&str, f64)]) {
    let samples = telemetry.samples();
    for (result, count) in wanted {
        let found = samples.sum("service_cache_lookups_total", &[("result", result)]);
        assert_eq!(found, *count, "{result}: {samples:?}");
    }
}
