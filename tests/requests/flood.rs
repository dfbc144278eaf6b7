//! Two hundred thousand requests of which no two are alike: what a scanner, or a scoundrel, sends.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use allocation_counter::measure;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use cqi_config::{LogConfig, MetricsConfig, ServiceConfig, TracingConfig};
use cqi_log::LogLayer;
use cqi_metrics::{Format, Metrics, MetricsLayer};
use cqi_tower::{ObserveLayer, RecoverLayer};
use cqi_trace::{TraceLayer, Tracing};
use http_body_util::BodyExt as _;
use serde::de::IgnoredAny;
use tower::ServiceExt as _;
use tracing::dispatcher;

use crate::http_service;

const REQUESTS: u64 = 200_000;
/// By then each table is as large as it gets.
const WARM: u64 = 20_000;

#[test]
fn two_hundred_thousand_strangers_leave_nothing_behind() {
    let service = ServiceConfig::default();
    let metrics = Metrics::new(&MetricsConfig::default(), &service).unwrap();
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
    let app = http_service::routes().layer(layers);
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

    // What is left of ten thousand requests is not one byte each.
    assert!(memory.bytes_current < 16 * 1024, "{memory:?}");
    assert_eq!(lines.count(), REQUESTS);
    println!("{} bytes early, {} late", early.len(), late.len());
    assert!(late.len() < 1 << 20, "{} bytes", late.len());
    assert_eq!(series(&early), series(&late), "series are made for ever");
    runtime
        .block_on(cqi_testkit::prometheus::check_metrics(&late))
        .unwrap();
}

/// Makes a request that is like no other, and reads the answer to its end.
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
        _ => request
            .method("POST")
            .uri(format!("/made.up.Service{number}/Method{number}"))
            .header("content-type", "application/grpc"),
    };
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
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
