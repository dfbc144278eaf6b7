use std::panic::Location;
use std::sync::{Arc, Weak};

use cqi_config::{MetricsConfig, ServiceConfig};
use cqi_errors::Result;

use crate::collector::sealed::Kind;
use crate::registry::{Definition, Registry, Source};
use crate::samples::Samples;
use crate::{Builder, Counter, Description, Gauge, Histogram, label, name};

/// The metrics of a service; a handle that is cheap to clone.
///
/// ```
/// use cqi_config::{MetricsConfig, ServiceConfig};
/// use cqi_metrics::{Metrics, Unit};
///
/// let service = ServiceConfig { name: "asset-registry".to_owned(), ..ServiceConfig::default() };
/// let metrics = Metrics::new(&MetricsConfig::default(), &service)?;
///
/// let placed = metrics.counter("orders", "placed").help("Orders that were accepted.").register()?;
/// placed.inc();
/// let wait = metrics
///     .histogram("orders", "wait")
///     .help("How long an order waits for its fill.")
///     .unit(Unit::Seconds)
///     .label_names(["venue"])?;
/// wait.get(["xnas"]).observe(0.02);
///
/// let names: Vec<_> = metrics.describe().into_iter().map(|metric| metric.name).collect();
/// assert!(names.contains(&"asset_registry_orders_placed_total".to_owned()));
/// assert!(names.contains(&"asset_registry_orders_wait_seconds".to_owned()));
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: MetricsConfig,
    service: ServiceConfig,
    /// What the names of the service's own metrics begin with.
    namespace: String,
    registry: Registry,
}

impl Metrics {
    /// Makes the metrics of a service, with those of its build, of its process (feature `process`)
    /// and of the tokio runtime that this is called in (feature `runtime`).
    ///
    /// # Errors
    /// [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput) where the service's name cannot begin
    /// the names of metrics: it has no letter to start with, or is longer than 64 characters.
    #[track_caller]
    pub fn new(config: &MetricsConfig, service: &ServiceConfig) -> Result<Self> {
        let metrics = Self(Arc::new(Inner {
            config: config.clone(),
            service: service.clone(),
            namespace: name::prefix(&service.name)?,
            registry: Registry::default(),
        }));
        let overflow = Definition {
            name: format!("{}_metrics_series_overflow", metrics.namespace()),
            kind: Kind::Counter,
            unit: None,
            help: "Times a label set was counted as `other`, since its metric has as many series as it may.".to_owned(),
            at: Location::caller(),
        };
        metrics
            .registry()
            .add(overflow, None, Overflow(Arc::downgrade(&metrics.0)))?;
        metrics.register_build()?;
        #[cfg(feature = "process")]
        metrics.register_process()?;
        #[cfg(feature = "runtime")]
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            metrics.register_runtime(&runtime)?;
        }
        Ok(metrics)
    }

    /// Describes a counter `{service}_{subsystem}_{name}_total`.
    pub fn counter(&self, subsystem: &str, name: &str) -> Builder<Counter> {
        Builder::new(self, &[self.namespace(), subsystem, name])
    }

    /// Describes a gauge `{service}_{subsystem}_{name}`.
    pub fn gauge(&self, subsystem: &str, name: &str) -> Builder<Gauge> {
        Builder::new(self, &[self.namespace(), subsystem, name])
    }

    /// Describes a histogram `{service}_{subsystem}_{name}`.
    pub fn histogram(&self, subsystem: &str, name: &str) -> Builder<Histogram> {
        Builder::new(self, &[self.namespace(), subsystem, name])
    }

    /// Lists what is registered, by name.
    #[must_use]
    pub fn describe(&self) -> Vec<Description> {
        self.registry().describe()
    }

    /// Describes a counter whose name is the same in all services.
    #[cfg_attr(
        not(any(feature = "process", feature = "runtime")),
        expect(dead_code, reason = "for those features")
    )]
    pub(crate) fn standard_counter(&self, name: &str) -> Builder<Counter> {
        Builder::new(self, &[name])
    }

    /// Describes a gauge whose name is the same in all services.
    #[cfg_attr(
        not(any(feature = "process", feature = "runtime")),
        expect(dead_code, reason = "for those features")
    )]
    pub(crate) fn standard_gauge(&self, name: &str) -> Builder<Gauge> {
        Builder::new(self, &[name])
    }

    /// Registers facts as labels of `{name}_info`, which is always 1.
    #[track_caller]
    pub(crate) fn standard_info(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
    ) -> Result<()> {
        let definition = Definition {
            name: name::join(&[name], Kind::Info, None)?,
            kind: Kind::Info,
            unit: None,
            help: help.to_owned(),
            at: Location::caller(),
        };
        let names = labels.iter().map(|(name, _)| (*name).to_owned()).collect();
        let labels = label::render(
            labels
                .iter()
                .map(|&(name, value)| (name, label::bounded(value))),
        );
        self.registry()
            .add(definition, None, Info { names, labels })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.0.namespace
    }

    pub(crate) fn service_config(&self) -> &ServiceConfig {
        &self.0.service
    }

    #[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "for that feature"))]
    pub(crate) fn config(&self) -> &MetricsConfig {
        &self.0.config
    }

    /// Returns the most series of one metric.
    pub(crate) fn max_series(&self) -> usize {
        usize::try_from(self.0.config.max_series).unwrap_or(usize::MAX)
    }
}

struct Info {
    names: Vec<String>,
    labels: Box<str>,
}

impl Source for Info {
    fn write(&self, samples: &mut Samples<'_>) {
        samples.sample("_info", &self.labels, 1);
    }

    fn labels(&self) -> Vec<String> {
        self.names.clone()
    }
}

/// How often each metric had no room.
struct Overflow(Weak<Inner>);

impl Source for Overflow {
    fn write(&self, samples: &mut Samples<'_>) {
        if let Some(metrics) = self.0.upgrade() {
            metrics.registry.write_overflow(samples);
        }
    }

    fn labels(&self) -> Vec<String> {
        vec!["metric".to_owned()]
    }
}
