//! The chains of layers that are compared: CQI's and its parts, the peers' and theirs.

use std::any::Any;
use std::fmt;
use std::hint::black_box;
use std::io::{self, Write};
use std::str::FromStr;

use axum::Router;
use axum_prometheus::PrometheusMetricLayer;
use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use cqi_config::{LogConfig, MetricsConfig, ServiceConfig, TracingConfig};
use cqi_log::LogLayer;
use cqi_metrics::{Metrics, MetricsLayer};
use cqi_tower::{ObserveLayer, RecoverLayer};
use cqi_trace::{TraceLayer, Tracing};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tower::ServiceBuilder;
use tower::layer::util::Identity;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer as HttpTraceLayer};
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::service::routes;

/// The whole chains.
pub const WHOLE: [&str; 4] = ["bare", "cqi", "peers", "peers, in one layer"];
/// What they are made of.
pub const PARTS: [&str; 11] = [
    "bare",
    "axum: a layer of nothing",
    "cqi: ObserveLayer of nothing",
    "cqi: RecoverLayer",
    "cqi: metrics",
    "cqi: log",
    "cqi: traces",
    "peers: catch-panic",
    "peers: axum-prometheus",
    "peers: tower-http trace, request-id",
    "peers: axum-tracing-opentelemetry",
];

/// What is recorded of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Metrics alone: the trace is not sampled, and the level hides the access line.
    Quiet,
    /// Metrics and an access line.
    Line,
    /// Metrics, an access line, and a span that is exported.
    Sampled,
}

impl Mode {
    fn sample_ratio(self) -> f64 {
        match self {
            Self::Quiet | Self::Line => 0.0,
            Self::Sampled => 1.0,
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "quiet" => Ok(Self::Quiet),
            "line" => Ok(Self::Line),
            "sampled" => Ok(Self::Sampled),
            _ => Err(format!("`{name}` is no mode: quiet, line or sampled")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quiet => "quiet",
            Self::Line => "line",
            Self::Sampled => "sampled",
        })
    }
}

/// Takes lines and forgets them.
struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        black_box(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes spans and forgets them.
#[derive(Debug)]
struct Forget;

impl SpanExporter for Forget {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        black_box(batch);
        Ok(())
    }
}

/// A service behind one chain, with what must live as long as it.
pub struct App {
    pub router: Router,
    _guards: Box<dyn Any + Send + Sync>,
}

impl App {
    /// Makes the service behind a chain, and installs the subscriber that the chain needs: once per
    /// process.
    ///
    /// # Panics
    /// There is no such chain.
    pub fn new(chain: &str, mode: Mode) -> Self {
        let (router, _guards): (_, Box<dyn Any + Send + Sync>) = match chain {
            "bare" => (routes(), Box::new(())),
            "axum: a layer of nothing" => (routes().layer(Identity::new()), Box::new(())),
            chain if chain.starts_with("cqi") => cqi(chain, mode),
            chain if chain.starts_with("peers") => peers(chain, mode),
            _ => panic!("`{chain}` is no chain"),
        };
        // As `axum::serve` does, so that routes are not made for each request.
        let router = router.with_state(());
        Self { router, _guards }
    }
}

fn cqi(chain: &str, mode: Mode) -> (Router, Box<dyn Any + Send + Sync>) {
    let service = ServiceConfig::default();
    let mut traces = TracingConfig::default();
    // Nobody listens there: whole batches are dropped.
    traces.endpoint = "http://127.0.0.1:9".into();
    traces.sample_ratio = mode.sample_ratio();
    let tracing = Tracing::init(&traces, &service).expect("traces");
    let metrics = Metrics::new(&MetricsConfig::default(), &service).expect("metrics");
    let mut log = LogConfig::default();
    log.level = match mode {
        Mode::Quiet => "info,cqi_log::request=off".into(),
        Mode::Line | Mode::Sampled => "info".into(),
    };
    let mut logger = cqi_log::builder().writer(Sink);
    if matches!(chain, "cqi" | "cqi: traces") {
        logger = logger.with(tracing.layer());
    }
    let guard = logger.init(&log, &service).expect("one logger per process");
    let trace = TraceLayer::new(&tracing);
    let measure = MetricsLayer::new(&metrics).expect("fresh metrics");
    let routes = routes();
    let router = match chain {
        "cqi" => routes.layer((
            ObserveLayer::new((trace, LogLayer::new(), measure)),
            RecoverLayer::new(),
        )),
        "cqi: ObserveLayer of nothing" => routes.layer(ObserveLayer::new(())),
        "cqi: RecoverLayer" => routes.layer(RecoverLayer::new()),
        "cqi: metrics" => routes.layer(ObserveLayer::new(measure)),
        "cqi: log" => routes.layer(ObserveLayer::new(LogLayer::new())),
        "cqi: traces" => routes.layer(ObserveLayer::new(trace)),
        _ => panic!("`{chain}` is no chain of CQI"),
    };
    (router, Box::new((tracing, guard)))
}

fn peers(chain: &str, mode: Mode) -> (Router, Box<dyn Any + Send + Sync>) {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            mode.sample_ratio(),
        ))))
        .with_batch_exporter(Forget)
        .build();
    // One filter for both layers, as is often seen, has spans of otel::tracing rendered as JSON too,
    // which costs the peers twice as much.
    let lines = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("opentelemetry", LevelFilter::OFF);
    let spans = lines
        .clone()
        .with_target("otel::tracing", LevelFilter::TRACE);
    let json = tracing_subscriber::fmt::layer().json().with_writer(|| Sink);
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    tracing_subscriber::registry()
        .with(json.with_filter(lines))
        .with(traces.with_filter(spans))
        .init();

    let mut trace = HttpTraceLayer::new_for_http();
    if mode != Mode::Quiet {
        trace = trace
            .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
            .on_response(DefaultOnResponse::new().level(Level::INFO));
    }
    let routes = routes();
    let router = match chain {
        "peers, in one layer" => routes.layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(OtelAxumLayer::default())
                .layer(trace)
                .layer(PrometheusMetricLayer::pair().0)
                .layer(CatchPanicLayer::new())
                .layer(PropagateRequestIdLayer::x_request_id()),
        ),
        "peers" => routes
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(CatchPanicLayer::new())
            .layer(PrometheusMetricLayer::pair().0)
            .layer(trace)
            .layer(OtelAxumLayer::default())
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid)),
        "peers: catch-panic" => routes.layer(CatchPanicLayer::new()),
        "peers: axum-prometheus" => routes.layer(PrometheusMetricLayer::pair().0),
        "peers: tower-http trace, request-id" => routes.layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(trace)
                .layer(PropagateRequestIdLayer::x_request_id()),
        ),
        "peers: axum-tracing-opentelemetry" => routes.layer(OtelAxumLayer::default()),
        _ => panic!("`{chain}` is no chain of the peers"),
    };
    (router, Box::new(provider))
}
