//! Spans that are entered without telling every layer.

use tracing::span::{Entered, Id};
use tracing::{Dispatch, Span, Subscriber as _};
use tracing_subscriber::Registry;

/// A span that is entered until this is dropped.
pub(crate) enum SpanEntered<'a> {
    Aloud(#[expect(dead_code, reason = "dropping it leaves the span")] Entered<'a>),
    Silently { dispatch: Dispatch, id: Id },
}

impl<'a> SpanEntered<'a> {
    #[inline]
    pub(crate) fn aloud(span: &'a Span) -> Self {
        Self::Aloud(span.enter())
    }

    /// Makes a span the current one in tracing-subscriber's registry, past the layers: each filter among
    /// them would look the span up, here and when it is left.
    #[inline]
    pub(crate) fn silently(span: &'a Span) -> Self {
        let entered = span.with_subscriber(|(id, dispatch)| {
            dispatch.downcast_ref::<Registry>()?.enter(id);
            Some((dispatch.clone(), id.clone()))
        });
        match entered.flatten() {
            Some((dispatch, id)) => Self::Silently { dispatch, id },
            None => Self::aloud(span),
        }
    }
}

impl Drop for SpanEntered<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Self::Silently { dispatch, id } = self
            && let Some(registry) = dispatch.downcast_ref::<Registry>()
        {
            registry.exit(id);
        }
    }
}
