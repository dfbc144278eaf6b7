use std::borrow::Cow;

use cqi_tower::{
    Ending, GrpcStatus, Observation, Observe, ObserveLayer, Observer, Outcome, RequestInfo,
};
use http::{HeaderMap, HeaderValue, Request, header};
use opentelemetry::Context;
use tower_layer::Layer;

use crate::attributes::{Attributes, Host, grpc_name, http_name};
use crate::begin::begin;
use crate::end::{self, Failure};
use crate::{Tracing, extract};

/// Gives each request a server span, which continues the caller's trace: an observer for
/// [`ObserveLayer`], and a layer of its own.
///
/// Probes and scrapes, the layer's [quiet](ObserveLayer::quiet) requests, have none. Whether a request
/// is recorded is decided before its span is made: the caller's flag counts, else
/// `tracing.sample_ratio`. One that is not costs an allocation; its log lines have ids, and
/// [`inject`](crate::inject) hands the trace on.
///
/// The span covers the whole response, its body included. It ends there, even if tasks that the
/// handler spawned go on in it.
///
/// ```
/// use cqi_config::{ServiceConfig, TracingConfig};
/// use cqi_trace::{TraceLayer, Tracing};
///
/// let tracing = Tracing::init(&TracingConfig::default(), &ServiceConfig::default())?;
/// let app: axum::Router = axum::Router::new()
///     .route("/v1/assets/{id}", axum::routing::get(|| async { "btc" }))
///     .layer(TraceLayer::new(&tracing));
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TraceLayer {
    tracing: Tracing,
}

impl TraceLayer {
    /// Traces requests.
    pub fn new(tracing: &Tracing) -> Self {
        Self {
            tracing: tracing.clone(),
        }
    }
}

impl Observer for TraceLayer {
    type Observation = RequestTrace;

    fn on_request<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) -> RequestTrace {
        if info.is_quiet() {
            return RequestTrace(None);
        }
        let parent = extract(request.headers());
        let id = info.request_id().and_then(|id| id.to_str().ok());
        let begun = begin(&self.tracing, parent.as_ref(), "server", id);
        info.set_trace(begun.context.ids());
        if begun.recorded.is_some() {
            info.set_span(begun.span);
        } else {
            info.set_silent_span(begun.span);
        }
        RequestTrace(begun.recorded.map(|context| {
            Box::new(Recorded {
                context,
                scheme: scheme(request),
                host: Host::of(request.uri(), request.headers()),
                user_agent: request.headers().get(header::USER_AGENT).cloned(),
            })
        }))
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Observe<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.clone()).layer(inner)
    }
}

/// The trace of one request that is served.
#[derive(Debug)]
pub struct RequestTrace(Option<Box<Recorded>>);

/// What is kept of a request whose span is recorded.
#[derive(Debug)]
struct Recorded {
    context: Context,
    scheme: &'static str,
    host: Option<Host>,
    user_agent: Option<HeaderValue>,
}

impl Observation for RequestTrace {
    fn on_end(self, outcome: &Outcome<'_>) {
        let Some(recorded) = self.0 else { return };
        let mut attributes = Attributes::new();
        let name = match outcome.grpc() {
            Some(status) => grpc(outcome, status, &mut attributes),
            None => http(outcome, recorded.scheme, &mut attributes),
        };
        if let Some(host) = recorded.host {
            attributes.set_host(host);
        }
        if let Some(agent) = recorded.user_agent {
            attributes.set_user_agent(agent.as_bytes());
        }
        end::end(&recorded.context, name, attributes, failure(outcome));
    }
}

fn http(
    outcome: &Outcome<'_>,
    scheme: &'static str,
    attributes: &mut Attributes,
) -> Cow<'static, str> {
    let request = outcome.request;
    attributes.set_method(request.method());
    attributes.set_path(request.path());
    attributes.set("url.scheme", scheme);
    attributes.set_version(request.version());
    if let Some(route) = request.route() {
        attributes.set("http.route", route.to_owned());
    }
    if let Some(status) = outcome.head {
        attributes.set("http.response.status_code", i64::from(status.as_u16()));
    }
    if let Some(size) = outcome.request_size {
        attributes.set_size("http.request.body.size", size);
    }
    attributes.set_size("http.response.body.size", outcome.response_size);
    http_name(request.method(), request.route())
}

fn grpc(
    outcome: &Outcome<'_>,
    status: GrpcStatus,
    attributes: &mut Attributes,
) -> Cow<'static, str> {
    let known = outcome.grpc_method();
    attributes.set_grpc_method(known, outcome.request.path());
    attributes.set("rpc.status_code", status.as_str());
    grpc_name(known)
}

/// Says what went wrong, if anything, and whether the service is at fault.
fn failure(outcome: &Outcome<'_>) -> Option<Failure> {
    let is_error = outcome.is_server_error();
    let kind = match (outcome.ending, outcome.grpc()) {
        (Ending::Cancelled, None) => Ending::Cancelled.as_str().into(),
        (Ending::Cancelled, Some(status)) => status.as_str().into(),
        _ if !is_error => return None,
        (Ending::Complete, Some(status)) => status.as_str().into(),
        (Ending::Complete, None) => outcome.status().as_str().to_owned().into(),
        (ending, _) => ending.as_str().into(),
    };
    Some(Failure { kind, is_error })
}

/// Returns the scheme of the request: as a proxy that ends TLS says, else as the request itself.
fn scheme<B>(request: &Request<B>) -> &'static str {
    let forwarded = |headers: &HeaderMap| match headers.get("x-forwarded-proto")?.as_bytes() {
        b"https" => Some("https"),
        b"http" => Some("http"),
        _ => None,
    };
    forwarded(request.headers()).unwrap_or(match request.uri().scheme_str() {
        Some("https") => "https",
        _ => "http",
    })
}
