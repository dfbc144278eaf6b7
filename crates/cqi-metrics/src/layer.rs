//! The standard metrics of requests.

mod grpc;
mod http;
mod lanes;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use ::http::Request;
use cqi_errors::Result;
use cqi_tower::{Observation, Observe, ObserveLayer, Observer, Outcome, Protocol, RequestInfo};
use tower_layer::Layer;

use crate::collector::sealed::Kind;
use crate::registry::{Definition, Source};
use crate::samples::Samples;
use crate::table::Table;
use crate::{Counter, Metrics, Unit, name};

use self::grpc::GrpcMetrics;
use self::http::HttpMetrics;
use self::lanes::{Lane, Lanes};

/// Measures requests over HTTP and gRPC: an [`Observer`] for [`ObserveLayer`], and a layer of its
/// own. Clones count the same.
///
/// ```
/// use cqi_config::{MetricsConfig, ServiceConfig};
/// use cqi_metrics::{Metrics, MetricsLayer};
///
/// let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default())?;
/// let layer = MetricsLayer::new(&metrics)?;
/// let panics = layer.panics();
/// let recover = cqi_tower::RecoverLayer::new().on_panic(move |_| panics.inc());
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[derive(Clone)]
pub struct MetricsLayer {
    http: Lanes,
    grpc: Lanes,
    panics: Counter,
}

struct Requests {
    http: HttpMetrics,
    grpc: GrpcMetrics,
}

/// What is kept of one request, which is in flight as long.
pub struct RequestMetrics(Arc<Lane>);

impl MetricsLayer {
    /// Registers the standard metrics of requests: make one layer, and clone it for each server.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) where they are registered already.
    #[track_caller]
    pub fn new(metrics: &Metrics) -> Result<Self> {
        let requests = Requests {
            http: HttpMetrics::new(metrics),
            grpc: GrpcMetrics::new(metrics),
        };
        let requests = Arc::new(requests);
        http::register(metrics, &requests)?;
        grpc::register(metrics, &requests)?;
        let http = Lanes::new(&requests, Protocol::Http);
        metrics
            .gauge("http", "requests_in_flight")
            .help("Requests that have not ended.")
            .observe(http.in_flight())?;
        let grpc = Lanes::new(&requests, Protocol::Grpc);
        metrics
            .gauge("grpc", "calls_in_flight")
            .help("Calls that have not ended.")
            .observe(grpc.in_flight())?;
        let panics = metrics
            .counter("request", "panics")
            .help("Panics that were caught while requests were handled.")
            .register()?;
        Ok(Self { http, grpc, panics })
    }

    /// Returns the counter `{service}_request_panics_total`, for the hook of
    /// [`RecoverLayer::on_panic`](cqi_tower::RecoverLayer::on_panic).
    #[must_use]
    pub fn panics(&self) -> Counter {
        self.panics.clone()
    }
}

impl Observer for MetricsLayer {
    type Observation = RequestMetrics;

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) -> RequestMetrics {
        let lanes = match info.protocol() {
            Protocol::Http => &self.http,
            Protocol::Grpc => &self.grpc,
        };
        RequestMetrics(lanes.enter())
    }
}

impl Observation for RequestMetrics {
    fn on_end(self, outcome: &Outcome<'_>) {
        let Lane { requests, protocol } = &*self.0;
        match protocol {
            Protocol::Http => requests.http.count(outcome),
            Protocol::Grpc => requests.grpc.count(outcome),
        }
    }
}

/// The series of one protocol: one lookup finds all that a request counts in.
struct Ledger<K, C> {
    table: Table<Row<K, C>>,
    new: Box<dyn Fn() -> C + Send + Sync>,
    other: Row<(), C>,
    overflow: Counter,
}

struct Row<K, C> {
    key: K,
    labels: Box<str>,
    collectors: C,
}

impl<K, C> Ledger<K, C> {
    fn new(limit: usize, other: Box<str>, new: impl Fn() -> C + Send + Sync + 'static) -> Self {
        Self {
            table: Table::new(limit.saturating_sub(1)),
            other: Row {
                key: (),
                labels: other,
                collectors: new(),
            },
            new: Box::new(new),
            overflow: Counter::default(),
        }
    }

    fn get(&self, hash: u64, is: impl Fn(&K) -> bool, row: impl FnOnce() -> (K, Box<str>)) -> &C {
        if let Some(row) = self.table.get(hash, |row| is(&row.key)) {
            return &row.collectors;
        }
        let inserted = if self.table.is_full() {
            None
        } else {
            let (key, labels) = row();
            let row = Row {
                key,
                labels,
                collectors: (self.new)(),
            };
            self.table.insert(hash, row, |row| is(&row.key))
        };
        inserted.map_or_else(
            || {
                self.overflow.inc();
                &self.other.collectors
            },
            |row| &row.collectors,
        )
    }

    fn write(&self, mut each: impl FnMut(&str, &C)) {
        let mut rows: Vec<_> = self.table.iter().collect();
        rows.sort_unstable_by_key(|row| &row.labels);
        for row in rows {
            each(&row.labels, &row.collectors);
        }
        if self.overflow.get() > 0 {
            each(&self.other.labels, &self.other.collectors);
        }
    }
}

/// What is said of a metric of requests.
struct Metric<'a> {
    metrics: &'a Metrics,
    requests: &'a Arc<Requests>,
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    overflow: Option<&'a Counter>,
}

impl Metric<'_> {
    #[track_caller]
    fn register<F>(self, kind: Kind, unit: Option<Unit>, write: F) -> Result<()>
    where
        F: Fn(&Requests, &mut Samples<'_>) + Send + Sync + 'static,
    {
        let definition = Definition {
            name: name::join(&[self.metrics.namespace(), self.name], kind, unit)?,
            kind,
            unit: unit.map(Unit::as_str),
            help: self.help.to_owned(),
            at: Location::caller(),
        };
        let view = View {
            requests: Arc::clone(self.requests),
            labels: self.labels,
            write,
        };
        self.metrics
            .registry()
            .add(definition, self.overflow.cloned(), view)
    }
}

/// One metric of requests.
struct View<F> {
    requests: Arc<Requests>,
    labels: &'static [&'static str],
    write: F,
}

impl<F: Fn(&Requests, &mut Samples<'_>) + Send + Sync> Source for View<F> {
    fn write(&self, samples: &mut Samples<'_>) {
        (self.write)(&self.requests, samples);
    }

    fn labels(&self) -> Vec<String> {
        self.labels.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Debug for MetricsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer").finish_non_exhaustive()
    }
}

impl fmt::Debug for RequestMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestMetrics").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Observe<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.clone()).layer(inner)
    }
}
