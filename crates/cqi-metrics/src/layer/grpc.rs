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
        let named = outcome.grpc_method().map(label::bounded);
        let method = named
            .filter(|method| has_method(outcome) || self.has_seen(method))
            .unwrap_or(OTHER);
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

    /// Says whether a method of that name has answered before.
    fn has_seen(&self, method: &str) -> bool {
        let mut rows = self.ledger.table.iter();
        rows.any(|row| &*row.key.0 == method)
    }
}

/// Says whether the answer shows that there is such a method, and the caller has not made it up: not
/// one that was not sent, nor one that is sent in front of methods, by limits of rate and checks of
/// who may call.
fn has_method(outcome: &Outcome<'_>) -> bool {
    const PERMISSION_DENIED: u8 = 7;
    const RESOURCE_EXHAUSTED: u8 = 8;
    const UNAUTHENTICATED: u8 = 16;
    outcome.grpc_status.is_some_and(|sent| {
        !matches!(
            sent.code(),
            PERMISSION_DENIED | RESOURCE_EXHAUSTED | UNAUTHENTICATED
        )
    })
}

#[track_caller]
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
