//! What the layers allocate per request, counted exactly.

use allocation_counter::measure;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use cqi_config::{LogConfig, MetricsConfig, ServiceConfig, TracingConfig};
use cqi_log::{Builder, LogLayer};
use cqi_metrics::{Metrics, MetricsLayer};
use cqi_tower::{ObserveLayer, Observer, RecoverLayer};
use cqi_trace::{TraceLayer, Tracing};
use futures_util::FutureExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use tower::Service as _;
use tracing::dispatcher;

const REQUESTS: u64 = 1_000;
const ONE_EACH: i64 = REQUESTS as i64;

/// A service whose traces are not sampled.
struct Service {
    metrics: Metrics,
    tracing: Tracing,
    dispatch: tracing::Dispatch,
    _log: cqi_log::LogGuard,
}

impl Service {
    /// Starts with a subscriber for lines and spans.
    fn start(level: &str) -> Self {
        Self::new(level, |builder, tracing| builder.with(tracing.layer()))
    }

    /// Starts with a subscriber for lines alone.
    fn without_traces() -> Self {
        Self::new("info", |builder, _| builder)
    }

    fn new(level: &str, subscriber: fn(Builder, &Tracing) -> Builder) -> Self {
        let service = ServiceConfig::default();
        let traces = TracingConfig {
            sample_ratio: 0.0,
            ..TracingConfig::default()
        };
        let log = LogConfig {
            level: level.to_owned(),
            ..LogConfig::default()
        };
        let tracing = Tracing::init(&traces, &service).unwrap();
        let (dispatch, guard) = subscriber(cqi_log::builder(), &tracing)
            .writer(std::io::sink())
            .build(&log, &service)
            .unwrap();
        Self {
            metrics: Metrics::new(&MetricsConfig::default(), &service).unwrap(),
            tracing,
            dispatch,
            _log: guard,
        }
    }

    fn metrics(&self) -> MetricsLayer {
        MetricsLayer::new(&self.metrics).unwrap()
    }

    fn traces(&self) -> TraceLayer {
        TraceLayer::new(&self.tracing)
    }

    /// Counts what requests for a known route allocate, once warm, beyond an observer of nothing.
    fn added<O>(&self, observer: O) -> i64
    where
        O: Observer + Send + Sync + 'static,
        O::Observation: Send + 'static,
    {
        let nothing = self.allocations(routes(()));
        let all = self.allocations(routes(observer));
        i64::try_from(all).unwrap() - i64::try_from(nothing).unwrap()
    }

    fn allocations(&self, mut app: Router) -> u64 {
        dispatcher::with_default(&self.dispatch, || {
            (0..REQUESTS).for_each(|_| ask(&mut app));
            measure(|| (0..REQUESTS).for_each(|_| ask(&mut app))).count_total
        })
    }
}

fn routes<O>(observer: O) -> Router
where
    O: Observer + Send + Sync + 'static,
    O::Observation: Send + 'static,
{
    let layers = (ObserveLayer::new(observer), RecoverLayer::new());
    Router::new()
        .route("/v1/assets/{id}", get(async || "an asset"))
        .layer(layers)
}

fn ask(app: &mut Router) {
    let request = Request::get("/v1/assets/btc")
        .header("host", "service.test")
        .header("user-agent", "test")
        .body(Body::empty())
        .unwrap();
    let response = app.call(request).now_or_never().unwrap().unwrap();
    assert!(response.status().is_success());
    response
        .into_body()
        .collect()
        .now_or_never()
        .unwrap()
        .unwrap();
}

#[test]
fn metrics_add_no_allocation() {
    let service = Service::start("info");
    assert_eq!(service.added(service.metrics()), 0);
}

#[test]
fn a_line_adds_no_allocation() {
    let service = Service::without_traces();
    assert_eq!(service.added(LogLayer::new()), 0);
}

#[test]
fn a_trace_that_is_not_sampled_adds_one() {
    let service = Service::start("info");
    let added = service.added(service.traces());
    assert_eq!(added, ONE_EACH);
}

#[test]
fn all_three_together_add_one() {
    for level in ["info", "warn"] {
        let service = Service::start(level);
        let added = service.added((service.traces(), LogLayer::new(), service.metrics()));
        assert_eq!(added, ONE_EACH, "{level}");
    }
}
