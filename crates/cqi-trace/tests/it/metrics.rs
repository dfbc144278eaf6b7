use std::time::Duration;

use cqi_config::{MetricsConfig, ServiceConfig};
use cqi_metrics::{Format, Metrics};
use cqi_trace::Tracing;
use cqi_trace::testing::Collector;

#[test]
fn exported_and_dropped_spans_are_counted() {
    let collector = Collector::start().unwrap();
    let tracing = Tracing::init(&collector.config(), &ServiceConfig::default()).unwrap();
    let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default()).unwrap();
    tracing.register_metrics(&metrics).unwrap();
    let (dispatch, _log) = cqi_log::builder()
        .with(tracing.layer())
        .writer(std::io::sink())
        .build(&Default::default(), &Default::default())
        .unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        for _ in 0..3 {
            tracing::info_span!("job").in_scope(|| {});
        }
        tracing.shutdown(Duration::from_secs(10)).unwrap();
        tracing::info_span!("too late").in_scope(|| {});
    });
    let text = metrics.render(Format::OpenMetrics);
    for line in [
        "service_trace_spans_exported_total 3",
        "service_trace_spans_dropped_total 1",
        "service_trace_spans_waiting 0",
    ] {
        assert!(
            text.lines().any(|shown| shown.starts_with(line)),
            "{line} in {text}"
        );
    }
}
