//! The catalogue of metrics, from what the crates register.

use std::fmt::Write;

use anyhow::Result;
use cqi_config::{LogConfig, MetricsConfig, ServiceConfig, TracingConfig};
use cqi_metrics::{Metrics, MetricsLayer};
use cqi_trace::Tracing;

const PREAMBLE: &str = "\
# Metrics

Every metric that a service built with CQI emits. `{service}` is the name of the service.

<!-- Written by `cargo xtask codegen`. -->
";

/// What a crate registers.
type Register = fn(&Metrics) -> Result<()>;

/// The crates that emit metrics; one that is not here is missing from the catalogue.
const SOURCES: [(&str, Register); 5] = [
    ("cqi-metrics", own),
    ("cqi-cache", |metrics| {
        Ok(cqi_cache::__private::describe_metrics(metrics)?)
    }),
    ("cqi-db", |metrics| {
        Ok(cqi_db::__private::describe_metrics(metrics)?)
    }),
    ("cqi-log", |metrics| {
        let (_, log) =
            cqi_log::builder().build(&LogConfig::default(), &ServiceConfig::default())?;
        Ok(log.register_metrics(metrics)?)
    }),
    ("cqi-trace", |metrics| {
        let config = TracingConfig {
            enabled: false,
            ..TracingConfig::default()
        };
        Ok(Tracing::init(&config, &ServiceConfig::default())?.register_metrics(metrics)?)
    }),
];

fn own(metrics: &Metrics) -> Result<()> {
    MetricsLayer::new(metrics)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    metrics.register_runtime(runtime.handle())?;
    Ok(())
}

/// Returns the text of the catalogue.
pub(super) fn catalogue() -> Result<String> {
    let mut text = PREAMBLE.to_owned();
    for (name, register) in SOURCES {
        let service = ServiceConfig {
            // Named, since it is a label where it is.
            instance_id: "1".to_owned(),
            ..ServiceConfig::default()
        };
        let metrics = Metrics::new(&MetricsConfig::default(), &service)?;
        register(&metrics)?;
        write!(text, "\n## {name}\n\n{}", metrics.catalogue())?;
    }
    Ok(text)
}
