use cqi_config::{LogConfig, MetricsConfig, ServiceConfig};
use cqi_metrics::{Format, Metrics};

#[test]
fn written_and_lost_lines_are_counted() {
    let (dispatch, log) = cqi_log::builder()
        .writer(std::io::sink())
        .build(&LogConfig::default(), &ServiceConfig::default())
        .unwrap();
    let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default()).unwrap();
    log.register_metrics(&metrics).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        for _ in 0..3 {
            tracing::info!("counted");
        }
    });
    let text = metrics.render(Format::OpenMetrics);
    for line in [
        "service_log_lines_written_total 3",
        "service_log_lines_lost_total 0",
    ] {
        assert!(
            text.lines().any(|shown| shown.starts_with(line)),
            "{line} in {text}"
        );
    }
}
