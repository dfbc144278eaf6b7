//! The spans of requests, recorded or not, and how they are found again.

use tracing::{Dispatch, Span, span};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan as _;

use crate::TraceContext;

/// The target of a request's span that is recorded; [`start`](crate::decision::start) it at once.
pub(crate) const SAMPLED: &str = "cqi_trace::sampled";

/// The target of a request's span that is not recorded. Its fields `trace_id` (a `u128`) and
/// `span_id` (a `u64`) are for log lines; [`keep`] is for those that are called.
pub(crate) const UNSAMPLED: &str = "cqi_trace::unsampled";

/// Keeps what a request tells those that it calls, for [`current`] to find.
pub(crate) fn keep(span: &Span, context: TraceContext) {
    span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>();
        if let Some(span) = registry.and_then(|registry| registry.span(id)) {
            span.extensions_mut().replace(Kept(context));
        }
    });
}

/// The context of a request, recorded or not.
struct Kept(TraceContext);

/// Finds the innermost span around the code that runs now that has ids.
pub(crate) fn current() -> Option<TraceContext> {
    Span::current().with_subscriber(|(id, dispatch)| around(id, dispatch))?
}

fn around(id: &span::Id, dispatch: &Dispatch) -> Option<TraceContext> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    let mut inner: Option<TraceContext> = None;
    for span in registry.span(id)?.scope() {
        if let Some(Kept(request)) = span.extensions().get() {
            return Some(match inner {
                Some(inner) => inner.with_state_of(request),
                None => request.clone(),
            });
        }
        // The lock on the extensions is released: OpenTelemetry's layer takes it too.
        if inner.is_none()
            && let Some(found) = tracing_opentelemetry::get_otel_context(&span.id(), dispatch)
        {
            inner = TraceContext::of_opentelemetry(&found);
        }
    }
    inner
}
