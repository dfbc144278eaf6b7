use std::borrow::Cow;

use cqi_tower::{
    Ending, GrpcStatus, Observation, Observe, ObserveLayer, Observer, Outcome, Protocol,
    RequestInfo,
};
use http::{Request, Response, Uri, Version};
use opentelemetry::Context;
use tower_layer::Layer;
use tracing::info_span;

use crate::attributes::{Attributes, Host, grpc_name, http_name};
use crate::begin::{Begun, begin, recorded};
use crate::end::{self, Failure};
use crate::{TraceContext, Tracing, inject};

/// Gives each outgoing request a client span, and sends the trace with it.
///
/// It wraps any tower service that takes [`http::Request`]s: hyper-util's client, a tonic channel. The
/// span is a child of the current one; without one, it starts a trace. Inside a request that is
/// not recorded it only sends the headers.
///
/// The span covers the whole response, its body included. A response with a status of 4xx or 5xx
/// is an error, and so is a gRPC status but `OK`; a caller that drops the future or the body cancels
/// it, which is none. Put the layer inside of one that tries again, so that each attempt has a span.
///
/// ```
/// use cqi_config::{ServiceConfig, TracingConfig};
/// use cqi_trace::{TraceClientLayer, Tracing};
/// use tower::Layer as _;
///
/// let tracing = Tracing::init(&TracingConfig::default(), &ServiceConfig::default())?;
/// # let channel = tower::service_fn(|_: http::Request<tonic::body::Body>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(tonic::body::Body::empty()))
/// # });
/// // let channel = tonic::transport::Endpoint::from_static("http://prices:50051").connect_lazy();
/// let channel = TraceClientLayer::new(&tracing).server("prices", 50051).layer(channel);
/// // let prices = PricesClient::new(channel);
/// # drop(channel);
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TraceClientLayer {
    tracing: Tracing,
    server: Option<Host>,
}

impl TraceClientLayer {
    /// Traces requests to whomever their URIs name.
    pub fn new(tracing: &Tracing) -> Self {
        Self {
            tracing: tracing.clone(),
            server: None,
        }
    }

    /// Names the server, as `server.address` and `server.port`, where the requests do not: a tonic
    /// channel adds its address further in.
    pub fn server(self, address: impl Into<Cow<'static, str>>, port: u16) -> Self {
        let address = address.into();
        let port = Some(port);
        Self {
            server: Some(Host { address, port }),
            ..self
        }
    }
}

impl Observer for TraceClientLayer {
    type Observation = CallTrace;

    fn on_request<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) -> CallTrace {
        let recorded = match TraceContext::current() {
            Some(context) if context.ids().sampled => {
                let span = info_span!(target: "cqi_trace::client", "request", otel.kind = "client");
                let recorded = recorded(&span);
                let own = recorded.as_ref().and_then(TraceContext::of_opentelemetry);
                let sent = own.map_or(context.clone(), |own| own.with_state_of(&context));
                info.set_trace(sent.ids());
                info.set_span(span);
                sent.write(request.headers_mut());
                recorded
            }
            Some(context) => {
                // The standard asks for an id of its own for each call; nobody records it.
                let call = self.tracing.decide(Some(&context)).context;
                info.set_trace(call.ids());
                call.write(request.headers_mut());
                return CallTrace(None);
            }
            None => {
                let Begun {
                    span,
                    context,
                    recorded,
                } = begin(&self.tracing, None, "client", None);
                info.set_trace(context.ids());
                span.in_scope(|| inject(request.headers_mut()));
                info.set_span(span);
                recorded
            }
        };
        CallTrace(recorded.map(|context| {
            let found = || Host::of(request.uri(), request.headers());
            let with_port = |host: Host| host.or_port_of(request.uri());
            Box::new(Recorded {
                context,
                url: url(request.uri()),
                host: self.server.clone().or_else(|| found().map(with_port)),
                version: None,
            })
        }))
    }
}

impl<S> Layer<S> for TraceClientLayer {
    type Service = Observe<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.clone()).layer(inner)
    }
}

/// The trace of one request that is made.
#[derive(Debug)]
pub struct CallTrace(Option<Box<Recorded>>);

/// What is kept of a request whose span is recorded.
#[derive(Debug)]
struct Recorded {
    context: Context,
    url: Option<String>,
    host: Option<Host>,
    /// The version that was agreed on.
    version: Option<Version>,
}

impl Observation for CallTrace {
    fn on_response<B>(&mut self, response: &mut Response<B>, _: &RequestInfo) {
        if let Some(recorded) = &mut self.0 {
            recorded.version = Some(response.version());
        }
    }

    fn on_end(self, outcome: &Outcome<'_>) {
        let Some(mut recorded) = self.0 else { return };
        let mut attributes = Attributes::new();
        let request = outcome.request;
        let name = if request.protocol() == Protocol::Grpc {
            let method = request.grpc_method();
            attributes.set_grpc_method(method, request.path());
            if let Some(status) = status(outcome) {
                attributes.set("rpc.status_code", status.as_str());
            }
            grpc_name(method)
        } else {
            attributes.set_method(request.method());
            if let Some(url) = recorded.url.take() {
                attributes.set("url.full", url);
            }
            if let Some(version) = recorded.version {
                attributes.set_version(version);
            }
            if let Some(status) = outcome.head {
                attributes.set("http.response.status_code", i64::from(status.as_u16()));
            }
            http_name(request.method(), None)
        };
        if let Some(host) = recorded.host.take() {
            attributes.set_host(host);
        }
        end::end(&recorded.context, name, attributes, failure(outcome));
    }
}

/// Returns the gRPC status that was sent or that a client takes from the answer; a call that failed
/// on the way has none.
fn status(outcome: &Outcome<'_>) -> Option<GrpcStatus> {
    match outcome.ending {
        Ending::Complete | Ending::Cancelled => outcome.grpc(),
        _ => outcome.grpc_status,
    }
}

/// Says what went wrong, if anything.
fn failure(outcome: &Outcome<'_>) -> Option<Failure> {
    let kind = match (outcome.ending, outcome.grpc(), outcome.head) {
        (Ending::Complete | Ending::Cancelled, Some(GrpcStatus::OK), _) => return None,
        (Ending::Complete | Ending::Cancelled, Some(status), _) => status.as_str().into(),
        // What the head says counts, even where the caller did not care for the body.
        (Ending::Complete | Ending::Cancelled, None, Some(head)) if head.as_u16() >= 400 => {
            head.as_str().to_owned().into()
        }
        // The conventions have a call that its caller cancelled look like one without an error.
        (Ending::Complete | Ending::Cancelled, ..) => return None,
        // To the client, the service is all that is between it and the server.
        (Ending::ServiceError, ..) => "transport_error".into(),
        (ending, ..) => ending.as_str().into(),
    };
    let is_error = kind != GrpcStatus::CANCELLED.as_str() || outcome.ending != Ending::Cancelled;
    Some(Failure { kind, is_error })
}

/// Returns the target of a request, without user, password and query.
fn url(uri: &Uri) -> Option<String> {
    let authority = uri.authority()?.as_str();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    Some(format!("{}://{host}{}", uri.scheme_str()?, uri.path()))
}
