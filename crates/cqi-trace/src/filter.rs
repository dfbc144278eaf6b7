//! Which spans are recorded.

use std::sync::{Arc, OnceLock};

use tracing::dispatcher::WeakDispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Metadata, span};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan as _;
use tracing_subscriber::{Registry, filter};

use crate::spans::{SAMPLED, UNSAMPLED};

/// The subscriber that a layer is part of, once it is; weak, since that owns the layer.
type Subscriber = Arc<OnceLock<WeakDispatch>>;

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
    /// Says whether the span is inside a request that is not recorded. Spans that no layer or
    /// another one sees count as well, so this asks the registry itself.
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
            .find_map(|span| match span.metadata().target() {
                UNSAMPLED => Some(true),
                SAMPLED => Some(false),
                _ => None,
            })
            .unwrap_or(false)
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
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_of_interest(metadata) {
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
        UNSAMPLED => return false,
        target if target.starts_with("cqi_") => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    metadata.is_span() && *metadata.level() <= level
}

/// Keeps the spans of requests that are not recorded alive where nobody logs them, since outgoing
/// requests need their ids; and learns which subscriber there is.
struct Keeper {
    subscriber: Subscriber,
}

impl Layer<Registry> for Keeper {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.subscriber.set(dispatch.downgrade());
    }
}

/// Tells the spans that a [`Keeper`] keeps.
struct Kept;

impl Filter<Registry> for Kept {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, Registry>) -> bool {
        metadata.is_span() && metadata.target() == UNSAMPLED
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() && metadata.target() == UNSAMPLED {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

/// Makes the layer that keeps unrecorded requests, and the filter of the recorded.
pub(crate) fn layers() -> (impl Layer<Registry> + Send + Sync + use<>, Recorded) {
    let subscriber = Subscriber::default();
    let recorded = Recorded {
        subscriber: Arc::clone(&subscriber),
    };
    (filter::Filtered::new(Keeper { subscriber }, Kept), recorded)
}
