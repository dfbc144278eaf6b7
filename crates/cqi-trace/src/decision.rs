//! Whether a request is recorded, decided before its span is made.

use cqi_tower::TraceIds;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry_sdk::trace::{IdGenerator as _, Sampler, SamplingDecision, ShouldSample as _};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::TraceContext;
use crate::ids::{Ids, Preset};

/// What was decided for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The request's span, as those that are called from within the request are told.
    pub(crate) context: TraceContext,
    /// Whether the span is recorded: make it with the target [`SAMPLED`](crate::spans::SAMPLED) and
    /// [`start`] it, or with [`UNSAMPLED`](crate::spans::UNSAMPLED) and [`keep`](crate::spans::keep).
    pub(crate) recorded: bool,
}

/// How it is decided; a pure function of the caller's flag and the trace id.
#[derive(Clone, Debug)]
pub(crate) struct Decider {
    enabled: bool,
    ratio: Sampler,
}

impl Decider {
    pub(crate) fn new(enabled: bool, ratio: f64) -> Self {
        Self {
            enabled,
            ratio: Sampler::TraceIdRatioBased(ratio),
        }
    }

    /// Decides without an allocation: the caller's flag counts, else the ratio.
    ///
    /// Where tracing is off, the request has the caller's own ids and flags: those it calls are the
    /// caller's children, as if this service were not there.
    pub(crate) fn decide(&self, parent: Option<&TraceContext>) -> Decision {
        match parent {
            Some(parent) if !self.enabled => Decision {
                context: parent.clone(),
                recorded: false,
            },
            Some(parent) => Decision {
                context: parent.with_span(new_span_id(), parent.ids().sampled),
                recorded: parent.ids().sampled,
            },
            None => {
                let trace_id = Ids.new_trace_id();
                let sampled = self.enabled && self.samples(trace_id);
                let ids = TraceIds {
                    trace_id: u128::from_be_bytes(trace_id.to_bytes()),
                    span_id: new_span_id(),
                    sampled,
                };
                Decision {
                    context: TraceContext::root(ids),
                    recorded: sampled,
                }
            }
        }
    }

    fn samples(&self, trace_id: TraceId) -> bool {
        let kind = SpanKind::Server;
        let result = self
            .ratio
            .should_sample(None, trace_id, "", &kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }
}

fn new_span_id() -> u64 {
    u64::from_be_bytes(Ids.new_span_id().to_bytes())
}

/// Starts the span that was made for a decision to record: it gets the decided ids, and the
/// caller's span for a parent.
///
/// It comes before anything that asks for the span's ids, such as a line logged inside of it.
pub(crate) fn start(span: &Span, decision: &Decision, parent: Option<&TraceContext>) {
    if let Some(parent) = parent {
        let remote = SpanContext::from(parent);
        let context = opentelemetry::Context::new().with_remote_span_context(remote);
        // It fails where the layer of traces is not installed; then there is nothing to start.
        let _ = span.set_parent(context);
    }
    let ids = decision.context.ids();
    let _preset = Preset::set(ids.trace_id, ids.span_id);
    let _ = span.context();
}
