use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cqi_config::{ServiceConfig, TracingConfig};
use cqi_errors::{Error, Kind, Result};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanLimits};
use tracing_subscriber::{Layer, Registry};

use crate::TraceContext;
use crate::collector::Collector;
use crate::decision::{Decider, Decision};
use crate::exporter::Exporter;
use crate::filter;
use crate::ids::Ids;
use crate::outage::{Outage, Subscriber};
use crate::processor::Processor;
use crate::queue::{Queue, TraceStats};
use crate::resource;

/// The traces of a service: exports spans until it is shut down. A clone is another handle to the
/// same.
///
/// Dropping the last handle shuts down as well, within `tracing.shutdown_timeout`; call
/// [`shutdown`](Tracing::shutdown) to learn whether all was delivered.
#[derive(Clone)]
pub struct Tracing {
    inner: Arc<Inner>,
}

struct Inner {
    decider: Decider,
    subscriber: Subscriber,
    /// There is nothing to export where tracing is off.
    export: Option<Export>,
}

struct Export {
    tracer: SdkTracer,
    queue: Arc<Queue>,
    shutdown_timeout: Duration,
}

impl Tracing {
    /// Starts to export as the settings say, from a thread of its own. Nothing is sent yet: the
    /// collector need not be up.
    ///
    /// With `tracing.enabled` off nothing is recorded, but requests still have trace ids in log lines,
    /// and a caller's trace is handed on as it came.
    ///
    /// # Errors
    /// - [`Kind::InvalidInput`]: `tracing.endpoint`, `tracing.protocol` or one of `tracing.headers`
    ///   cannot be used. Values of headers are not repeated.
    /// - [`Kind::Permanent`]: the thread cannot be started.
    ///
    /// ```
    /// use cqi_config::{ServiceConfig, TracingConfig};
    /// use cqi_trace::Tracing;
    ///
    /// let tracing = Tracing::init(&TracingConfig::default(), &ServiceConfig::default())?;
    /// let logs = cqi_log::builder().with(tracing.layer());
    /// # drop(logs);
    /// # Ok::<(), cqi_errors::Error>(())
    /// ```
    pub fn init(config: &TracingConfig, service: &ServiceConfig) -> Result<Self> {
        let subscriber = Subscriber::default();
        let export = match config.enabled {
            false => None,
            true => Some(Export::start(config, service, &subscriber)?),
        };
        let inner = Inner {
            decider: Decider::new(config.enabled, config.sample_ratio),
            subscriber,
            export,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Makes the layer that turns `tracing`'s spans into OpenTelemetry's, for
    /// `cqi_log::builder().with(..)` or `tracing_subscriber`'s registry.
    ///
    /// It takes spans of level info and above, and CQI's own from debug on, whatever `log.level` is.
    /// Events stay in the log.
    #[must_use = "a layer does nothing until a subscriber has it"]
    pub fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        let tracer = self.inner.export.as_ref().map(|export| &export.tracer);
        filter::layers(tracer, &self.inner.subscriber)
    }

    /// Decides whether a request is recorded, and which ids it has. It does not allocate.
    pub(crate) fn decide(&self, parent: Option<&TraceContext>) -> Decision {
        self.inner.decider.decide(parent)
    }

    /// Returns what became of the spans that ended so far.
    #[must_use]
    pub fn stats(&self) -> TraceStats {
        let export = self.inner.export.as_ref();
        export.map_or_else(TraceStats::default, |export| export.queue.stats())
    }

    /// Returns a way to read the stats that does not keep the export alive.
    #[cfg(feature = "metrics")]
    pub(crate) fn stats_reader(&self) -> impl Fn() -> TraceStats + Clone + Send + 'static {
        let queue = self
            .inner
            .export
            .as_ref()
            .map(|export| Arc::clone(&export.queue));
        move || {
            queue
                .as_ref()
                .map_or_else(TraceStats::default, |queue| queue.stats())
        }
    }

    /// Delivers what waits, and ends the export. Spans that end later are dropped and counted.
    ///
    /// It blocks the thread, for at most the time given; the export does not need the caller's
    /// runtime, so this returns in time on any thread. In async code that still has other work to
    /// do, call it from `tokio::task::spawn_blocking`. Each batch is sent once; the collector is not
    /// tried again. Called again, it does nothing.
    ///
    /// # Errors
    /// [`Kind::Temporary`]: spans were dropped meanwhile, since the collector did not take them, or not
    /// in time. There is nothing to do but to log it.
    pub fn shutdown(&self, timeout: Duration) -> Result<()> {
        let Some(export) = &self.inner.export else {
            return Ok(());
        };
        match export.queue.close(timeout) {
            0 => Ok(()),
            dropped => Err(Error::new(
                Kind::Temporary,
                format!(
                    "shut down tracing: {dropped} spans were dropped that the collector did not \
                     take; the time given was {timeout:?}"
                ),
            )),
        }
    }
}

impl Export {
    fn start(
        config: &TracingConfig,
        service: &ServiceConfig,
        subscriber: &Subscriber,
    ) -> Result<Self> {
        let collector = Collector::new(config)?;
        let queue = Arc::new(Queue::new(
            config.queue_size as usize,
            config.batch_size as usize,
        ));
        let outage = Outage::new(&config.endpoint, Arc::clone(subscriber));
        let resource = resource::of(service);
        Exporter::new(Arc::clone(&queue), collector, resource, outage, config).spawn()?;
        let ratio = Box::new(Sampler::TraceIdRatioBased(config.sample_ratio));
        // Spelled out, since the SDK's own defaults can be changed by environment variables.
        let limits = SpanLimits {
            max_attributes_per_span: 128,
            max_events_per_span: 128,
            max_links_per_span: 128,
            ..SpanLimits::default()
        };
        let provider = SdkTracerProvider::builder()
            .with_id_generator(Ids)
            .with_sampler(Sampler::ParentBased(ratio))
            .with_span_limits(limits)
            .with_span_processor(Processor(Arc::clone(&queue)))
            .build();
        Ok(Self {
            tracer: provider.tracer("cqi-trace"),
            queue,
            shutdown_timeout: config.shutdown_timeout,
        })
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.queue.close(self.shutdown_timeout);
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing")
            .field("enabled", &self.inner.export.is_some())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
