//! Two hundred thousand requests of which no two are alike: what a scanner, or a scoundrel, sends.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use allocation_counter::measure;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::post;
use cqi_config::{LogConfig, MetricsConfig, ServiceConfig, TracingConfig};
use cqi_log::LogLayer;
use cqi_metrics::{Format, Metrics, MetricsLayer};
use cqi_testkit::prometheus::check_metrics;
use cqi_tower::{ObserveLayer, RecoverLayer};
use cqi_trace::{TraceLayer, Tracing};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use serde::de::IgnoredAny;
use tower::ServiceExt as _;
use tracing::dispatcher;

use crate::http_service;
use crate::samples::{Sample, Samples};

const REQUESTS: u64 = 200_000;
/// By then each table is as large as it gets.
const WARM: u64 = 20_000;

#[test]
fn two_hundred_thousand_strangers_leave_nothing_behind() {
    let service = ServiceConfig::default();
    let settings = MetricsConfig::default();
    let metrics = Metrics::new(&settings, &service).unwrap();
    let tracing = Tracing::init(
        &TracingConfig {
            sample_ratio: 0.0,
            ..TracingConfig::default()
        },
        &service,
    )
    .unwrap();
    let lines = Checked::default();
    let (dispatch, _guard) = cqi_log::builder()
        .with(tracing.layer())
        .writer(lines.clone())
        .build(&LogConfig::default(), &service)
        .unwrap();
    let layers = (
        ObserveLayer::new((
            TraceLayer::new(&tracing),
            LogLayer::new(),
            MetricsLayer::new(&metrics).unwrap(),
        )),
        RecoverLayer::new(),
    );
    let app = http_service::routes()
        .route("/{service}/{method}", post(made_up))
        .layer(layers);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let flood = |numbers: std::ops::Range<u64>| {
        dispatcher::with_default(&dispatch, || {
            runtime.block_on(async {
                for number in numbers {
                    ask(&app, number).await;
                }
            });
        });
    };

    flood(0..WARM);
    let early = metrics.render(Format::Text);
    let memory = measure(|| flood(WARM..REQUESTS));
    let late = metrics.render(Format::Text);

    // Of ten requests, not one byte is left.
    assert!(memory.bytes_current < 16 * 1024, "{memory:?}");
    assert_eq!(lines.count(), REQUESTS);
    assert!(late.len() < 1 << 20, "{} bytes", late.len());
    runtime.block_on(check_metrics(&late)).unwrap();

    let (early, late) = (Samples::parse(&early), Samples::parse(&late));
    assert_eq!(early.0.len(), late.0.len(), "series are made for ever");
    let mut sizes = BTreeMap::new();
    for Sample { name, .. } in &late.0 {
        let suffixes = ["_bucket", "_sum", "_count"];
        let metric = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        *sizes.entry(metric.unwrap_or(name)).or_insert(0_u32) += 1;
    }
    assert!(
        sizes.values().all(|&size| size <= settings.max_series),
        "{sizes:?}"
    );
    let counters = [
        "service_http_request_count_total",
        "service_grpc_call_count_total",
    ];
    let counted: f64 = counters.iter().map(|counter| late.sum(counter, &[])).sum();
    assert_eq!(counted, REQUESTS as f64);
    let [http, grpc] = counters.map(|counter| {
        let overflow = [("metric", counter)];
        let overflow = late.sum("service_metrics_series_overflow_total", &overflow);
        (overflow, late.sum(counter, &[("method", "other")]))
    });
    let (overflow, other) = http;
    assert!(overflow > 0.0 && other >= overflow, "{overflow} of {other}");
    // No method that a caller made up takes the room of one that there is.
    assert_eq!(grpc, (0.0, late.sum("service_grpc_call_count_total", &[])));
}

/// A method that anybody may call, and that nobody waits for.
async fn made_up(headers: HeaderMap) -> StatusCode {
    if headers.contains_key("x-wait") {
        pending::<()>().await;
    }
    StatusCode::NOT_FOUND
}

/// Makes a request that is like no other, and reads the answer to its end, if there is one.
async fn ask(app: &Router, number: u64) {
    let request = Request::builder()
        .header("user-agent", format!("agent/{number}"))
        .header("x-request-id", format!("id-{number}"))
        .header("referer", format!("http://elsewhere/{number}"));
    let code = 100 + number / 4 % 900;
    let request = match number % 4 {
        0 => request.uri(format!("/nowhere/{number}")),
        1 => request.uri(format!("/status/{code}?query={number}")),
        2 => request
            .method(Method::from_bytes(format!("M{number}").as_bytes()).unwrap())
            .uri(format!("/status/{code}")),
        _ if number % 8 == 3 => request
            .method("POST")
            .uri(format!("/made.up.Service{number}/Wait"))
            .header("content-type", "application/grpc")
            .header("x-wait", "1"),
        _ => request
            .method("POST")
            .uri(format!("/made.up.Service{number}/Method{number}"))
            .header("content-type", "application/grpc"),
    };
    let request = request.body(Body::empty()).unwrap();
    // Who asks for a wait hangs up at once.
    let Some(response) = app.clone().oneshot(request).now_or_never() else {
        return;
    };
    let response = response.unwrap();
    response.into_body().collect().await.unwrap();
}

/// Counts lines, each of which must be JSON.
#[derive(Clone, Debug, Default)]
struct Checked(Arc<AtomicU64>);

impl Checked {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Write for Checked {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        serde_json::from_slice::<IgnoredAny>(line).unwrap();
        assert_eq!(
            line.iter().position(|&byte| byte == b'\n'),
            Some(line.len() - 1)
        );
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
