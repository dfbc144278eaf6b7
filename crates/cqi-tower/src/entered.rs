//! Spans that are entered without telling every layer.

use tracing::span::Id;
use tracing::{Span, Subscriber as _};
use tracing_subscriber::Registry;

/// Works with a span as the current one in tracing-subscriber's registry, past the layers: each filter
/// among them would look the span up when it is entered, and when it is left.
#[inline]
pub(crate) fn silently(span: &Span, work: impl FnOnce()) {
    let mut work = Some(work);
    span.with_subscriber(|(id, dispatch)| {
        if let Some(registry) = dispatch.downcast_ref::<Registry>()
            && let Some(work) = work.take()
        {
            registry.enter(id);
            let _entered = Silent { registry, id };
            work();
        }
    });
    if let Some(work) = work {
        span.in_scope(work);
    }
}

/// Leaves the span, even if the work panics.
struct Silent<'a> {
    registry: &'a Registry,
    id: &'a Id,
}

impl Drop for Silent<'_> {
    #[inline]
    fn drop(&mut self) {
        self.registry.exit(self.id);
    }
}
