use std::borrow::Cow;

use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;

use crate::begin::begin;
use crate::{TraceContext, Tracing};

impl Tracing {
    /// Makes the span of an event that is handled, which continues its producer's trace.
    ///
    /// Whether it is recorded is decided as for a request. The handler runs inside:
    ///
    /// ```
    /// # use cqi_config::{ServiceConfig, TracingConfig};
    /// use tracing::Instrument as _;
    ///
    /// # async fn handle(tracing: &cqi_trace::Tracing, headers: &[(&str, &[u8])]) {
    /// let producer = cqi_trace::extract_event(headers.iter().copied());
    /// let span = tracing.consumer_span("process price_updated", producer.as_ref());
    /// async { /* handle the event */ }.instrument(span).await;
    /// # }
    /// ```
    #[must_use]
    pub fn consumer_span(
        &self,
        name: impl Into<Cow<'static, str>>,
        producer: Option<&TraceContext>,
    ) -> Span {
        let begun = begin(self, producer, "consumer", None);
        if let Some(context) = begun.recorded {
            context.span().update_name(name);
        }
        begun.span
    }
}
