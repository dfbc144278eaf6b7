use std::fmt;
use std::str::FromStr as _;

use cqi_tower::TraceIds;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

use crate::w3c::traceparent::Traceparent;
use crate::w3c::tracestate::{self, Field};

pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flag of level 2 that says that the trace id is random.
const RANDOM: u8 = 2;

/// What a caller and its callee tell each other of a trace: ids, whether it is sampled, and what
/// tracing systems on the way keep for themselves, as in
/// [W3C Trace Context](https://www.w3.org/TR/trace-context-2/).
///
/// [`Display`](fmt::Display) writes it as a `traceparent`. The `tracestate` is never read, only
/// handed on.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
///
/// let mut headers = HeaderMap::new();
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// headers.insert("traceparent", HeaderValue::from_static(parent));
/// headers.insert("tracestate", HeaderValue::from_static("congo=t61rcWkgMzE"));
///
/// let context = cqi_trace::extract(&headers).unwrap();
/// assert!(context.ids().sampled);
/// assert_eq!(context.state(), Some("congo=t61rcWkgMzE"));
/// assert_eq!(context.to_string(), parent);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    parent: Traceparent,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// Names a span; `None` if an id is zero, which the standard forbids.
    #[must_use]
    pub fn new(ids: TraceIds) -> Option<Self> {
        let parent = Traceparent { ids, random: false };
        (ids.trace_id != 0 && ids.span_id != 0).then_some(Self {
            parent,
            state: None,
        })
    }

    /// Returns what [`inject`](crate::inject) would send from here, such as to keep it with work that
    /// is done later; `None` outside of any trace.
    #[must_use]
    pub fn current() -> Option<Self> {
        crate::spans::current()
    }

    /// Returns the ids of the trace and of the span that is the parent of what follows.
    #[must_use]
    pub fn ids(&self) -> TraceIds {
        self.parent.ids
    }

    /// Returns the `tracestate`, if there is one.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_ref()?.to_str().ok()
    }

    /// Names the first span of a trace; neither id is zero. That its id is random goes without saying:
    /// OpenTelemetry's spans cannot keep the flag, and all of a trace must agree.
    pub(crate) fn root(ids: TraceIds) -> Self {
        Self {
            parent: Traceparent { ids, random: false },
            state: None,
        }
    }

    /// Names the span in a context of OpenTelemetry's; `None` if it has no ids.
    pub(crate) fn of_opentelemetry(context: &opentelemetry::Context) -> Option<Self> {
        let span = context.span();
        let span = span.span_context();
        let flags = span.trace_flags();
        let ids = TraceIds {
            trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(span.span_id().to_bytes()),
            sampled: flags.is_sampled(),
        };
        let random = flags.to_u8() & RANDOM != 0;
        let state = span.trace_state().header();
        span.is_valid().then(|| Self {
            parent: Traceparent { ids, random },
            state: HeaderValue::try_from(state)
                .ok()
                .filter(|state| !state.is_empty()),
        })
    }

    /// Returns the context of another span of the same trace.
    pub(crate) fn with_span(&self, span_id: u64, sampled: bool) -> Self {
        let mut context = self.clone();
        context.parent.ids.span_id = span_id;
        context.parent.ids.sampled = sampled;
        context
    }

    /// Returns the context of a span inside of a request: OpenTelemetry knows less of what a
    /// `tracestate` may hold, so that of the request counts.
    pub(crate) fn with_state_of(self, request: &Self) -> Self {
        if self.parent.ids.trace_id != request.parent.ids.trace_id {
            return self;
        }
        Self {
            parent: self.parent,
            state: request.state.clone(),
        }
    }

    /// Writes the headers, in place of those that are there.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let parent = self.parent.render();
        if let Ok(value) = HeaderValue::from_bytes(&parent) {
            headers.insert(&TRACEPARENT, value);
        }
        match &self.state {
            Some(state) => headers.insert(&TRACESTATE, state.clone()),
            None => headers.remove(&TRACESTATE),
        };
    }

    /// Hands out each header.
    pub(crate) fn each(&self, mut set: impl FnMut(&'static str, &[u8])) {
        set("traceparent", &self.parent.render());
        if let Some(state) = &self.state {
            set("tracestate", state.as_bytes());
        }
    }

    /// Whether the low seven bytes of the trace id are random.
    pub(crate) fn is_random(&self) -> bool {
        self.parent.random
    }

    /// Reads the headers of a request; two parents are none.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(&TRACEPARENT).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else {
            return None;
        };
        let states = headers.get_all(&TRACESTATE).iter().map(Field::Header);
        Some(Self {
            parent: Traceparent::parse(parent.as_bytes())?,
            state: tracestate::combine(states),
        })
    }

    /// Reads pairs of name and value; two parents are none.
    pub(crate) fn read_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a [u8])> + Clone,
    ) -> Option<Self> {
        let mut parents = named(pairs.clone(), "traceparent");
        let (Some(parent), None) = (parents.next(), parents.next()) else {
            return None;
        };
        Some(Self {
            parent: Traceparent::parse(parent)?,
            state: tracestate::combine(named(pairs, "tracestate").map(Field::Bytes)),
        })
    }
}

/// Finds the values of a name.
fn named<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    wanted: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    let pairs = pairs.into_iter();
    pairs.filter_map(move |(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
}

impl From<&TraceContext> for SpanContext {
    fn from(context: &TraceContext) -> Self {
        let ids = context.ids();
        let random = if context.is_random() { RANDOM } else { 0 };
        let state = context.state().map(TraceState::from_str);
        Self::new(
            TraceId::from(ids.trace_id),
            SpanId::from(ids.span_id),
            TraceFlags::new(random).with_sampled(ids.sampled),
            true,
            state.and_then(Result::ok).unwrap_or_default(),
        )
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.parent.render()).unwrap_or_default())
    }
}
