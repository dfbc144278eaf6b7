use std::sync::OnceLock;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Version, header};
use http_body::Body;
use tokio::time::Instant;
use tracing::Span;

use crate::entered;
use crate::protocol::{self, Protocol};
use crate::quiet::Quiet;
use crate::{Route, TraceIds};

/// What is known of a request from its start, and what observers add for each other.
#[derive(Debug)]
pub struct RequestInfo {
    protocol: Protocol,
    method: Method,
    version: Version,
    path: Option<PathAndQuery>,
    /// Of the request, or of the response where the router is inside.
    route: OnceLock<Route>,
    quiet: bool,
    started: Instant,
    /// How long the caller of a gRPC method waits.
    timeout: Option<Duration>,
    declared_size: Option<u64>,
    request_id: Option<HeaderValue>,
    trace: Option<TraceIds>,
    span: Span,
    silent: bool,
}

impl RequestInfo {
    #[inline]
    pub(crate) fn new<B: Body>(request: &Request<B>, quiet: &Quiet) -> Self {
        let protocol = Protocol::of(request.headers());
        let declared = request
            .body()
            .size_hint()
            .exact()
            .or_else(|| content_length(request.headers()));
        Self {
            protocol,
            method: request.method().clone(),
            version: request.version(),
            path: request.uri().path_and_query().cloned(),
            route: Route::find(request.extensions()).map_or_else(OnceLock::new, OnceLock::from),
            quiet: quiet.covers(request.uri().path()),
            started: Instant::now(),
            timeout: match protocol {
                Protocol::Grpc => protocol::grpc_timeout(request.headers()),
                Protocol::Http => None,
            },
            declared_size: declared,
            request_id: None,
            trace: None,
            span: Span::none(),
            silent: false,
        }
    }

    /// Returns the protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the method as the client sent it; it may be any token.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the version of HTTP.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the path as the client sent it, without the query: for people and spans, not for
    /// labels of metrics, since a client may send any.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    /// Returns the template of the route, such as `/v1/assets/{id}`; `None` where no route matched,
    /// or none is known yet.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.route.get().map(Route::as_str)
    }

    /// Returns the full name of a gRPC method, such as `pkg.Service/Method`; `None` for HTTP, and for
    /// a path that is no such name. A client may send any: see [`Outcome::grpc_method`](crate::Outcome::grpc_method).
    #[must_use]
    pub fn grpc_method(&self) -> Option<&str> {
        if self.protocol != Protocol::Grpc {
            return None;
        }
        let name = self.path().strip_prefix('/')?;
        let (service, method) = name.split_once('/')?;
        (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some(name)
    }

    /// Says whether the request is a probe or a scrape, which logs and traces leave out.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns when the request reached the layer.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns the size of the request's body in bytes, as far as it is known before it is read.
    #[must_use]
    pub fn declared_size(&self) -> Option<u64> {
        self.declared_size
    }

    /// Returns the id that ties together what is logged of the request, if an observer gave it one.
    #[must_use]
    pub fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    /// Gives the request an id.
    pub fn set_request_id(&mut self, id: HeaderValue) {
        self.request_id = Some(id);
    }

    /// Returns the trace that the request belongs to, if an observer of traces has set it.
    #[must_use]
    pub fn trace(&self) -> Option<TraceIds> {
        self.trace
    }

    /// Says which trace the request belongs to.
    pub fn set_trace(&mut self, ids: TraceIds) {
        self.trace = Some(ids);
    }

    /// Returns the span that is entered whenever the request is worked on; disabled at first.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Sets the span that is entered whenever the request is worked on. One span serves all
    /// observers: who makes it gives it a field `request_id`, from [`request_id`](Self::request_id),
    /// which is known by then; who finds one makes no other.
    pub fn set_span(&mut self, span: Span) {
        self.span = span;
        self.silent = false;
    }

    /// Sets a [span](Self::set_span) that serves to be found: it is the current one for what happens
    /// inside, but the layers of tracing-subscriber are not told that it is entered and left, which costs
    /// more than all else.
    pub fn set_silent_span(&mut self, span: Span) {
        self.span = span;
        self.silent = true;
    }

    #[inline]
    pub(crate) fn enter(&self, work: impl FnOnce()) {
        if self.silent {
            entered::silently(&self.span, work);
        } else {
            self.span.in_scope(work);
        }
    }

    /// Looks for the route in a response, unless the request had it.
    pub(crate) fn find_route(&self, extensions: &Extensions) {
        if self.route.get().is_none()
            && let Some(route) = Route::find(extensions)
        {
            let _ = self.route.set(route);
        }
    }

    /// Says whether the caller of a gRPC method has given up for want of time.
    pub(crate) fn deadline_passed(&self, elapsed: Duration) -> bool {
        // The caller's clock started before ours, by the request's way here.
        self.timeout
            .is_some_and(|timeout| elapsed + (timeout / 10).min(TRANSIT) >= timeout)
    }
}

/// How much earlier than ours the deadline of a caller may be.
const TRANSIT: Duration = Duration::from_millis(10);

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
