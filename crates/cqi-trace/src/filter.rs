//! Which spans are recorded.

use std::sync::Arc;

use opentelemetry_sdk::trace::SdkTracer;

use tracing::dispatcher::WeakDispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Metadata, span};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan as _;

use crate::outage::Subscriber;
use crate::spans::{SAMPLED, UNSAMPLED};

/// Lets through the spans that OpenTelemetry's layer shall see: those of recorded requests, and
/// those outside of any request.
///
/// What is not recorded costs next to nothing, and neither does what is inside of it: the layer
/// would build a span before it asks whether to sample it.
#[derive(Debug)]
pub(crate) struct Recorded {
    subscriber: Subscriber,
}

impl Recorded {
    /// Says whether the span is inside a request that is not recorded; nothing is above a request.
    /// Spans that no layer or another one sees count as well, so this asks the registry itself.
    fn is_unsampled(&self, innermost: &span::Id) -> bool {
        let Some(dispatch) = self.subscriber.get().and_then(WeakDispatch::upgrade) else {
            return false;
        };
        let scope = dispatch
            .downcast_ref::<Registry>()
            .and_then(|registry| registry.span(innermost))
            .map(|span| span.scope());
        scope
            .into_iter()
            .flatten()
            .any(|span| span.metadata().target() == UNSAMPLED)
    }
}

impl Filter<Registry> for Recorded {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, Registry>) -> bool {
        is_of_interest(metadata)
            && (metadata.target() == SAMPLED
                || context
                    .current_span()
                    .id()
                    .is_none_or(|id| !self.is_unsampled(id)))
    }

    /// Never says `always`: the answer to a mere question such as `span_enabled!` stays in
    /// tracing-subscriber's thread state, where the next span would find it.
    ///
    /// Says `sometimes` of what is never recorded but must live where nobody logs it: outgoing
    /// requests need its ids. A second filter that lets it through would do as well, but look up
    /// each span whenever it is entered or left.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_of_interest(metadata) || is_kept(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

/// Tells spans worth recording: from info on, and CQI's own from debug on. HTTP libraries open
/// spans of debug and below for each frame.
fn is_of_interest(metadata: &Metadata<'_>) -> bool {
    let level = match metadata.target() {
        // The span that the log makes of a request is none where traces have made one too.
        UNSAMPLED | "cqi_log::request" => return false,
        target if target.starts_with("cqi_") => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    metadata.is_span() && *metadata.level() <= level
}

/// Tells the spans of requests that are not recorded.
fn is_kept(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == UNSAMPLED
}

/// Learns which subscriber there is.
struct Keeper {
    subscriber: Subscriber,
    /// The first subscriber of all layers of one [`Tracing`](crate::Tracing).
    first: Subscriber,
}

impl Layer<Registry> for Keeper {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.subscriber.set(dispatch.downgrade());
        let _ = self.first.set(dispatch.downgrade());
    }
}

/// Keeps the ids of requests where nothing is recorded at all.
struct Kept;

impl Filter<Registry> for Kept {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, Registry>) -> bool {
        is_kept(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_kept(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

/// Makes the layers of traces: without a tracer, only what keeps the ids of requests.
pub(crate) fn layers(
    tracer: Option<&SdkTracer>,
    first: &Subscriber,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    let subscriber = Subscriber::default();
    let keeper = Keeper {
        subscriber: Arc::clone(&subscriber),
        first: Arc::clone(first),
    };
    let Some(tracer) = tracer else {
        return Box::new(Filtered::new(keeper, Kept));
    };
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_context_activation(false)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    Box::new(Filtered::new(
        keeper.and_then(spans),
        Recorded { subscriber },
    ))
}
