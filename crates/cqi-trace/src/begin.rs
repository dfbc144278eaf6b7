use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::decision;
use crate::spans::{self, SAMPLED, UNSAMPLED};
use crate::{TraceContext, Tracing};

/// The span of a request or an event that has just begun.
pub(crate) struct Begun {
    pub(crate) span: Span,
    pub(crate) context: TraceContext,
    /// OpenTelemetry's side of it, where it is recorded.
    pub(crate) recorded: Option<Context>,
}

/// Continues the trace of a caller, or starts one. Where it is not recorded, this allocates once.
pub(crate) fn begin(
    tracing: &Tracing,
    parent: Option<&TraceContext>,
    kind: &'static str,
    request_id: Option<&str>,
) -> Begun {
    let decision = tracing.decide(parent);
    let ids = decision.context.ids();
    let span = if decision.recorded {
        let span =
            info_span!(target: SAMPLED, parent: None, "request", otel.kind = kind, request_id);
        decision::start(&span, &decision, parent);
        span
    } else {
        info_span!(
            target: UNSAMPLED,
            parent: None,
            "request",
            trace_id = ids.trace_id,
            span_id = ids.span_id,
            request_id,
        )
    };
    spans::keep(&span, decision.context.clone());
    Begun {
        recorded: decision.recorded.then(|| recorded(&span)).flatten(),
        context: decision.context,
        span,
    }
}

/// Returns OpenTelemetry's side of a span; `None` if it is not recorded, or by nobody.
pub(crate) fn recorded(span: &Span) -> Option<Context> {
    let context = span.context();
    let is_recorded = context.span().span_context().is_sampled();
    is_recorded.then_some(context)
}
