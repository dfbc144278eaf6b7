//! The spans of requests that are made.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use cqi_tower::{ObserveLayer, Observer, RequestInfo, TraceIds};
use cqi_trace::testing::{SpanKind, SpanStatus};
use cqi_trace::{TraceClientLayer, extract};
use futures_util::{FutureExt as _, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{Instrument as _, Span, info, info_span};

use crate::services::{Client, Server, Text, call, channel};
use crate::traces::{Traces, named};

fn request(uri: &str) -> Request<Body> {
    Request::put(uri).body(Body::empty()).unwrap()
}

/// Answers with the status in the path, and with the headers it was sent.
async fn echo() -> Server {
    let echo = any(|request: Request<Body>| async move {
        let status: u16 = request.uri().path()[1..].parse().unwrap_or(200);
        let mut headers = request.into_parts().0.headers;
        headers.retain_trace();
        (StatusCode::from_u16(status).unwrap(), headers, "echo")
    });
    Server::http(Router::new().fallback(echo)).await
}

trait RetainTrace {
    fn retain_trace(&mut self);
}

impl RetainTrace for HeaderMap {
    fn retain_trace(&mut self) {
        let kept = self
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("trace"));
        *self = kept
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
    }
}

#[tokio::test]
async fn an_http_request_is_described() {
    let traces = Traces::new();
    let server = echo().await;
    let outer = info_span!("outer");
    let url = server.url("/200?token=secret");
    let client = Client::traced(&traces.tracing);
    client.get(url).instrument(outer.clone()).await;
    drop(outer);
    let spans = traces.end();
    let (outer, span) = (named(&spans, "outer"), named(&spans, "GET"));
    assert_eq!(span.kind, SpanKind::Client);
    assert_eq!(span.parent_id, Some(outer.span_id));
    assert_eq!(span.status, SpanStatus::Unset);
    let port = server.address.port();
    assert_eq!(span.attributes["http.request.method"], "GET");
    assert_eq!(
        span.attributes["url.full"],
        format!("http://127.0.0.1:{port}/200").as_str()
    );
    assert_eq!(span.attributes["server.address"], "127.0.0.1");
    assert_eq!(span.attributes["server.port"], i64::from(port));
    assert_eq!(span.attributes["http.response.status_code"], 200);
    assert_eq!(span.attributes["network.protocol.version"], "1.1");
    assert!(!format!("{span:?}").contains("secret"));
}

#[tokio::test]
async fn each_request_sends_its_own_span() {
    let traces = Traces::new();
    let service =
        TraceClientLayer::new(&traces.tracing).layer(service_fn(|request: Request<Body>| async {
            let mut response = Response::new(Body::empty());
            *response.headers_mut() = request.into_parts().0.headers;
            Ok::<_, &str>(response)
        }));
    let outer = info_span!("outer");
    let mut told = Vec::new();
    for _ in 0..3 {
        let mut request = request("http://there/");
        // What was there before is replaced, such as by a copy of the caller's headers.
        for name in ["traceparent", "tracestate"] {
            request.headers_mut().append(name, "old=1".parse().unwrap());
            request.headers_mut().append(name, "old=2".parse().unwrap());
        }
        let response = service
            .clone()
            .oneshot(request)
            .instrument(outer.clone())
            .await
            .unwrap();
        assert_eq!(response.headers().get_all("traceparent").iter().count(), 1);
        assert!(response.headers().get("tracestate").is_none());
        told.push(extract(response.headers()).unwrap().ids());
    }
    drop(outer);
    let spans = traces.end();
    let mut sent: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "PUT")
        .map(|span| span.span_id)
        .collect();
    let mut told: Vec<_> = told.iter().map(|ids| ids.span_id).collect();
    sent.sort_unstable();
    told.sort_unstable();
    assert_eq!(sent, told);
    assert_eq!(sent.len(), 3);
}

#[tokio::test]
async fn failures_are_errors_of_the_client() {
    let traces = Traces::new();
    let server = echo().await;
    let client = Client::traced(&traces.tracing);
    for (status, failed) in [(204, false), (304, false), (404, true), (500, true)] {
        traces.collector.clear();
        client.get(server.url(&format!("/{status}"))).await;
        let spans = traces.collector.spans_when(|spans| spans.len() == 1).await;
        assert_eq!(spans[0].attributes["http.response.status_code"], status);
        let expected = match failed {
            true => SpanStatus::Error(String::new()),
            false => SpanStatus::Unset,
        };
        assert_eq!(spans[0].status, expected);
        let kind = spans[0].attributes.get("error.type");
        assert_eq!(kind.is_some(), failed);
        assert!(kind.is_none_or(|kind| *kind == status.to_string().as_str()));
    }
}

#[tokio::test]
async fn how_a_request_broke_off_is_told() {
    let traces = Traces::new();
    let layer = TraceClientLayer::new(&traces.tracing);
    let failing = service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>("refused") });
    assert!(
        layer
            .layer(failing)
            .oneshot(request("http://me:secret@there:81/x?secret"))
            .await
            .is_err()
    );

    let torn = service_fn(|_: Request<Body>| async {
        let chunks = [
            Ok(Bytes::from("a part")),
            Err(std::io::Error::other("torn")),
        ];
        Ok::<_, &str>(Response::new(Body::from_stream(stream::iter(chunks))))
    });
    let response = layer
        .layer(torn)
        .oneshot(Request::get("/").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert!(response.into_body().collect().await.is_err());

    let waiting =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, &str>>());
    let post = Request::post("/").body(Body::empty()).unwrap();
    assert!(layer.layer(waiting).oneshot(post).now_or_never().is_none());

    let spans = traces.end();
    let refused = named(&spans, "PUT");
    assert_eq!(refused.attributes["error.type"], "transport_error");
    assert_eq!(refused.attributes["url.full"], "http://there:81/x");
    assert_eq!(refused.attributes["server.address"], "there");
    assert!(!refused.attributes.contains_key("network.protocol.version"));
    let torn = named(&spans, "GET");
    assert_eq!(torn.attributes["error.type"], "body_error");
    for span in [refused, torn] {
        assert_eq!(span.status, SpanStatus::Error(String::new()));
    }
    let cancelled = named(&spans, "POST");
    assert!(!cancelled.attributes.contains_key("error.type"));
    assert_eq!(cancelled.status, SpanStatus::Unset);
    assert!(!format!("{spans:?}").contains("secret"));
}

/// The head says what came of a request, even if nobody reads the body.
#[tokio::test]
async fn a_body_may_be_left_unread() {
    let traces = Traces::new();
    for (status, failed) in [(200, false), (404, true)] {
        let service = service_fn(move |_: Request<Body>| async move {
            let body = Body::from_stream(stream::pending::<Result<Bytes, &str>>());
            let response = Response::builder().status(status).body(body);
            Ok::<_, &str>(response.unwrap())
        });
        let service = TraceClientLayer::new(&traces.tracing).layer(service);
        drop(service.oneshot(request("https://there/")).await.unwrap());
        let spans = traces.collector.spans_when(|spans| !spans.is_empty()).await;
        traces.collector.clear();
        assert_eq!(spans[0].attributes.contains_key("error.type"), failed);
        assert_eq!(spans[0].status != SpanStatus::Unset, failed);
        assert_eq!(spans[0].attributes["server.port"], 443);
    }
}

/// Keeps what the layer before it says of the trace.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Option<TraceIds>>>);

impl Observer for Seen {
    type Observation = ();

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) {
        *self.0.lock().unwrap() = info.trace();
    }
}

#[tokio::test]
async fn other_observers_learn_the_ids_of_the_call_itself() {
    for ratio in [0.0, 1.0] {
        let traces = Traces::with(|config| config.sample_ratio = ratio);
        let seen = Seen::default();
        let layer = ObserveLayer::new((TraceClientLayer::new(&traces.tracing), seen.clone()));
        for outer in [traces.tracing.consumer_span("outer", None), Span::none()] {
            let service = service_fn(|request: Request<Body>| async {
                let mut response = Response::new(Body::empty());
                *response.headers_mut() = request.into_parts().0.headers;
                Ok::<_, &str>(response)
            });
            let call = layer.layer(service).oneshot(request("http://there/"));
            let response = call.instrument(outer).await.unwrap();
            let told = extract(response.headers()).unwrap().ids();
            assert_eq!(*seen.0.lock().unwrap(), Some(told));
            assert_eq!(told.sampled, ratio > 0.5);
        }
        traces.end();
    }
}

#[tokio::test]
async fn a_grpc_call_that_finds_nobody_has_no_status() {
    let traces = Traces::new();
    let server = echo().await;
    // Nobody listens there any more.
    let gone = Server::http(Router::new()).await;
    let address = gone.address;
    drop(gone);
    let call = call_at(&traces, &address.to_string()).await;
    assert!(call.is_err());
    drop(server);
    let span = traces.end().pop().unwrap();
    assert_eq!(span.name, "test.Prices/Get");
    assert_eq!(span.attributes["error.type"], "transport_error");
    assert!(!span.attributes.contains_key("rpc.status_code"));
    assert_eq!(span.status, SpanStatus::Error(String::new()));
}

async fn call_at(traces: &Traces, address: &str) -> Result<(), tonic::Status> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let layer = TraceClientLayer::new(&traces.tracing);
    let mut grpc = tonic::client::Grpc::new(layer.layer(endpoint.connect_lazy()));
    grpc.ready()
        .await
        .map_err(|_| tonic::Status::unavailable("not ready"))?;
    let path = http::uri::PathAndQuery::from_static("/test.Prices/Get");
    let request = tonic::Request::new(String::new());
    grpc.unary(request, path, Text).await.map(drop)
}

#[tokio::test]
async fn an_interceptor_sends_the_trace_too() {
    let traces = Traces::new();
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let sink = Arc::clone(&seen);
    let server = Server::grpc(
        &traces.tracing,
        Arc::new(move |headers, _| {
            *sink.lock().unwrap() = headers;
            async { Ok(String::new()) }.boxed()
        }),
    )
    .await;
    let interceptor = |mut request: tonic::Request<()>| {
        cqi_trace::inject(request.metadata_mut().as_mut());
        Ok::<_, tonic::Status>(request)
    };
    let channel =
        tonic::service::interceptor::InterceptedService::new(channel(&server), interceptor);
    let mut grpc = tonic::client::Grpc::new(channel);
    let outer = info_span!("outer");
    async {
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Prices/Get");
        grpc.unary(tonic::Request::new(String::new()), path, Text)
            .await
            .unwrap();
    }
    .instrument(outer.clone())
    .await;
    drop(outer);
    let spans = traces.collector.spans_when(|spans| spans.len() == 2).await;
    let outer = named(&spans, "outer");
    let told = extract(&seen.lock().unwrap()).unwrap().ids();
    assert_eq!(
        (told.trace_id, told.span_id),
        (outer.trace_id, outer.span_id)
    );
    assert_eq!(
        named(&spans, "test.Prices/Get").parent_id,
        Some(outer.span_id)
    );
}

#[tokio::test]
async fn lines_within_a_call_carry_its_span() {
    let traces = Traces::new();
    let service = service_fn(|_: Request<Body>| async {
        info!("connecting");
        Ok::<_, &str>(Response::new(Body::empty()))
    });
    let service = TraceClientLayer::new(&traces.tracing).layer(service);
    service.oneshot(request("http://there/")).await.unwrap();
    let span = traces.end().pop().unwrap();
    let line = &traces.logs.lines()[0];
    assert_eq!(line["span_id"], format!("{:016x}", span.span_id));
}

#[tokio::test]
async fn an_intercepted_failure_of_grpc_is_one() {
    let traces = Traces::new();
    let server = Server::grpc(
        &traces.tracing,
        Arc::new(|_, _| std::future::pending().boxed()),
    )
    .await;
    let waiting = call(&traces.tracing, &server, "/test.Prices/Get", "");
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(200), waiting)
            .await
            .is_err()
    );
    let spans = traces.collector.spans_when(|spans| spans.len() == 2).await;
    for span in spans {
        assert_eq!(span.status, SpanStatus::Unset, "{span:?}");
        let kind = span.attributes["error.type"].clone();
        assert_eq!(kind, "CANCELLED");
        assert_eq!(span.attributes["rpc.status_code"], "CANCELLED");
    }
}
