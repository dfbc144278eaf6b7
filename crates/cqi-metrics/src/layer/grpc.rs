use std::sync::Arc;

use cqi_errors::Result;
use cqi_tower::{GrpcStatus, Outcome};

use super::{Ledger, Metric, Requests};
use crate::collector::sealed::{Collector as _, Kind};
use crate::histogram::Bounds;
use crate::label::{self, OTHER};
use crate::{Histogram, Metrics, Unit};

pub(super) struct GrpcMetrics {
    /// The calls of one label set; their number is that of their durations.
    ledger: Ledger<(Box<str>, GrpcStatus), Histogram>,
}

const LABELS: [&str; 2] = ["method", "code"];

impl GrpcMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let durations = Bounds::default();
        let limit = metrics.max_series() / Histogram::series(&durations);
        let other = label::render(LABELS.map(|name| (name, OTHER)));
        Self {
            ledger: Ledger::new(limit, other, move || Histogram::new(&durations)),
        }
    }

    pub(super) fn count(&self, outcome: &Outcome<'_>) {
        let method = label::bounded(outcome.grpc_method().unwrap_or(OTHER));
        let code = outcome.grpc().unwrap_or(GrpcStatus::UNKNOWN);

        let hash = self.ledger.table.hash((method, code));
        let is = |key: &(Box<str>, GrpcStatus)| (&*key.0, key.1) == (method, code);
        let duration = self.ledger.get(hash, is, || {
            let values = [method, code.as_str()];
            (
                (method.into(), code),
                label::render(LABELS.into_iter().zip(values)),
            )
        });
        duration.observe_traced(outcome.elapsed.as_secs_f64(), outcome.request.trace());
    }
}

pub(super) fn register(metrics: &Metrics, requests: &Arc<Requests>) -> Result<()> {
    let metric = |name, help| Metric {
        metrics,
        requests,
        name,
        help,
        labels: &LABELS,
        overflow: Some(&requests.grpc.ledger.overflow),
    };
    metric(
        "grpc_call_duration",
        "Time from a call's arrival to the end of its response.",
    )
    .register(Kind::Histogram, Some(Unit::Seconds), |requests, samples| {
        requests
            .grpc
            .ledger
            .write(|labels, duration| duration.write(labels, samples));
    })?;
    metric("grpc_call_count", "Calls that have ended.").register(
        Kind::Counter,
        None,
        |requests, samples| {
            requests
                .grpc
                .ledger
                .write(|labels, duration| samples.sample("_total", labels, duration.len()));
        },
    )
}
