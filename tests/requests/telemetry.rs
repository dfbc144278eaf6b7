//! Logs, metrics and traces of one service, as its operator would set them up, and what came out.

use std::cell::RefCell;
use std::time::Duration;

use cqi_config::{LogConfig, MetricsConfig, ServiceConfig, TracingConfig};
use cqi_log::LogLayer;
use cqi_log::testing::Capture;
use cqi_metrics::{Format, Metrics, MetricsLayer};
use cqi_tower::{ObserveLayer, RecoverLayer};
use cqi_trace::testing::{Collector, ReceivedSpan, SpanKind};
use cqi_trace::{TraceLayer, Tracing};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tracing::dispatcher::{self, DefaultGuard};

use crate::recorder::Recorder;
use crate::samples::Samples;

pub(crate) type Layers = (
    ObserveLayer<(TraceLayer, LogLayer, MetricsLayer, Recorder)>,
    RecoverLayer,
);

/// The telemetry of one service, and a runtime whose threads log to it.
pub(crate) struct Telemetry {
    pub(crate) logs: Capture,
    pub(crate) metrics: Metrics,
    pub(crate) tracing: Tracing,
    pub(crate) collector: Collector,
    pub(crate) recorder: Recorder,
    layers: Layers,
    runtime: Runtime,
}

thread_local! {
    static LOGS: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

impl Telemetry {
    /// Starts with each request sampled, and all kept.
    pub(crate) fn start() -> Self {
        Self::sampling(1.0)
    }

    pub(crate) fn sampling(ratio: f64) -> Self {
        let service = ServiceConfig::default();
        let collector = Collector::start().unwrap();
        let traces = TracingConfig {
            queue_size: 65_536,
            sample_ratio: ratio,
            ..collector.config()
        };
        let tracing = Tracing::init(&traces, &service).unwrap();
        let scraped = MetricsConfig {
            port: 0,
            ..MetricsConfig::default()
        };
        let metrics = Metrics::new(&scraped, &service).unwrap();
        let recorder = Recorder::default();
        let logs = Capture::new(
            cqi_log::builder().with(tracing.layer()),
            &LogConfig::default(),
            &service,
        )
        .unwrap();
        let measure = MetricsLayer::new(&metrics).unwrap();
        let panics = measure.panics();
        let recover = RecoverLayer::new().on_panic(move |_| panics.inc());
        let layer = ObserveLayer::new((
            TraceLayer::new(&tracing),
            LogLayer::new()
                .request_header("user-agent")
                .request_header("authorization")
                .response_header("content-type"),
            measure,
            recorder.clone(),
        ));
        let dispatch = logs.dispatch().clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || LOGS.set(Some(dispatcher::set_default(&dispatch))))
            .on_thread_stop(|| drop(LOGS.take()))
            .build()
            .unwrap();
        Self {
            logs,
            metrics,
            tracing,
            collector,
            recorder,
            layers: (layer, recover),
            runtime,
        }
    }

    /// Returns the layers in their one order.
    pub(crate) fn layers(&self) -> Layers {
        self.layers.clone()
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Returns the lines at the ends of requests, once all requests have ended.
    pub(crate) fn access_lines(&self) -> Vec<Value> {
        let mut lines = self.logs.lines();
        lines.retain(|line| line["target"] == "cqi_log::request" && line["message"] == "request");
        lines
    }

    /// Delivers all spans, and returns those of requests.
    pub(crate) fn server_spans(&self) -> Vec<ReceivedSpan> {
        self.tracing.shutdown(Duration::from_secs(10)).unwrap();
        assert_eq!(self.tracing.stats().dropped, 0);
        let mut spans = self.collector.spans();
        spans.retain(|span| span.kind == SpanKind::Server);
        spans
    }

    /// Returns what a scraper gets, in the format with exemplars.
    pub(crate) fn samples(&self) -> Samples {
        Samples::parse(&self.metrics.render(Format::OpenMetrics))
    }

    /// Waits until a line was written.
    pub(crate) async fn logged(&self, message: &str) {
        while !self.logs.text().contains(message) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until no request is under way.
    pub(crate) async fn rest(&self) {
        let rest = async {
            while !self.recorder.is_at_rest() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(10), rest).await;
        let book = self.recorder.book();
        let (started, ended) = (book.started, book.ended.len());
        assert!(result.is_ok(), "{started} requests started, {ended} ended");
    }
}
