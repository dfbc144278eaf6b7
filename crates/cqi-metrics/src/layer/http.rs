use std::sync::Arc;

use cqi_errors::Result;
use cqi_tower::Outcome;
use http::{Method, StatusCode};

use super::{Ledger, Metric, Requests};
use crate::collector::sealed::{Collector as _, Kind};
use crate::histogram::Bounds;
use crate::label::{self, OTHER};
use crate::{Histogram, Metrics, Unit};

pub(super) struct HttpMetrics {
    ledger: Ledger<(u8, Box<str>, u16), Exchanges>,
}

/// The requests of one label set; their number is that of their durations.
struct Exchanges {
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
}

const LABELS: [&str; 3] = ["method", "path", "status_code"];
/// What the path of a request without a route is.
const UNMATCHED: &str = "unmatched";
const SIZES: [f64; 4] = [256.0, 4096.0, 65536.0, 1_048_576.0];
const METHODS: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "_OTHER",
];
/// What the method is that HTTP does not define, or that the route does not have: a client may send
/// each of them to each route.
const OTHER_METHOD: u8 = 9;

fn method(method: &Method) -> u8 {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::PUT => 2,
        Method::DELETE => 3,
        Method::PATCH => 4,
        Method::HEAD => 5,
        Method::OPTIONS => 6,
        Method::CONNECT => 7,
        Method::TRACE => 8,
        _ => OTHER_METHOD,
    }
}

impl HttpMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let durations = Bounds::default();
        let sizes = Bounds(SIZES.into());
        let limit =
            metrics.max_series() / Histogram::series(&durations).max(Histogram::series(&sizes));
        let other = label::render(LABELS.map(|name| (name, OTHER)));
        let exchanges = move || Exchanges {
            duration: Histogram::new(&durations),
            request_size: Histogram::new(&sizes),
            response_size: Histogram::new(&sizes),
        };
        Self {
            ledger: Ledger::new(limit, other, exchanges),
        }
    }

    pub(super) fn count(&self, outcome: &Outcome<'_>) {
        let status = outcome.status();
        let method = match status {
            StatusCode::METHOD_NOT_ALLOWED => OTHER_METHOD,
            _ => method(outcome.request.method()),
        };
        let path = label::bounded(outcome.request.route().unwrap_or(UNMATCHED));
        let status = status.as_u16();

        let hash = self.ledger.table.hash((method, path, status));
        let is = |key: &(u8, Box<str>, u16)| (key.0, &*key.1, key.2) == (method, path, status);
        let exchanges = self.ledger.get(hash, is, || {
            let values = [METHODS[usize::from(method)], path, &status.to_string()];
            (
                (method, path.into(), status),
                label::render(LABELS.into_iter().zip(values)),
            )
        });
        exchanges
            .duration
            .observe_traced(outcome.elapsed.as_secs_f64(), outcome.request.trace());
        if let Some(size) = outcome.request_size {
            exchanges.request_size.observe(size as f64);
        }
        exchanges
            .response_size
            .observe(outcome.response_size as f64);
    }
}

#[track_caller]
pub(super) fn register(metrics: &Metrics, requests: &Arc<Requests>) -> Result<()> {
    let metric = |name, help| Metric {
        metrics,
        requests,
        name,
        help,
        labels: &LABELS,
        overflow: Some(&requests.http.ledger.overflow),
    };
    metric(
        "http_request_duration",
        "Time from a request's arrival to the end of its response.",
    )
    .register(Kind::Histogram, Some(Unit::Seconds), |requests, samples| {
        requests
            .http
            .ledger
            .write(|labels, of| of.duration.write(labels, samples));
    })?;
    metric("http_request_count", "Requests that have ended.").register(
        Kind::Counter,
        None,
        |requests, samples| {
            requests
                .http
                .ledger
                .write(|labels, of| samples.sample("_total", labels, of.duration.len()));
        },
    )?;
    metric(
        "http_request_size",
        "Sizes of the bodies of requests, where they are known.",
    )
    .register(Kind::Histogram, Some(Unit::Bytes), |requests, samples| {
        requests
            .http
            .ledger
            .write(|labels, of| of.request_size.write(labels, samples));
    })?;
    metric(
        "http_response_size",
        "Sizes of the bodies of responses, as far as they were sent.",
    )
    .register(Kind::Histogram, Some(Unit::Bytes), |requests, samples| {
        requests
            .http
            .ledger
            .write(|labels, of| of.response_size.write(labels, samples));
    })
}
