//! A service with traces: a logger with the layer, and a collector that receives.

use std::time::Duration;

use cqi_config::{LogConfig, ServiceConfig, TracingConfig};
use cqi_log::testing::Capture;
use cqi_trace::Tracing;
use cqi_trace::testing::{Collector, ReceivedSpan};

/// More than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) struct Traces {
    pub(crate) tracing: Tracing,
    pub(crate) logs: Capture,
    pub(crate) collector: Collector,
}

impl Traces {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut TracingConfig)) -> Self {
        Self::at("info", change)
    }

    /// Logs from a level on.
    pub(crate) fn at(level: &str, change: impl FnOnce(&mut TracingConfig)) -> Self {
        let collector = Collector::start().unwrap();
        let mut config = collector.config();
        change(&mut config);
        let tracing = Tracing::init(&config, &service()).unwrap();
        let logs = logs(&tracing, level);
        Self {
            tracing,
            logs,
            collector,
        }
    }

    /// Shuts down, and returns all spans.
    pub(crate) fn end(&self) -> Vec<ReceivedSpan> {
        self.tracing.shutdown(SOON).unwrap();
        self.collector.spans()
    }
}

/// Logs what this thread does, with the layer of traces.
pub(crate) fn logs(tracing: &Tracing, level: &str) -> Capture {
    let log = LogConfig {
        level: level.to_owned(),
        ..LogConfig::default()
    };
    Capture::new(cqi_log::builder().with(tracing.layer()), &log, &service()).unwrap()
}

pub(crate) fn service() -> ServiceConfig {
    ServiceConfig {
        name: "asset-registry".to_owned(),
        version: "1.2.3".to_owned(),
        environment: "test".to_owned(),
        ..ServiceConfig::default()
    }
}

pub(crate) fn named<'a>(spans: &'a [ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no span {name}: {spans:#?}"));
    assert!(found.next().is_none(), "several spans {name}");
    span
}
