//! The spans of requests that are served, by the semantic conventions.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get, post};
use bytes::Bytes;
use cqi_errors::Error;
use cqi_tower::{
    Observation, ObserveLayer, Observer, Outcome, RecoverLayer, RequestInfo, TraceIds,
};
use cqi_trace::testing::{ReceivedSpan, SpanKind, SpanStatus};
use cqi_trace::{TraceLayer, inject};
use futures_util::{FutureExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{Instrument as _, info, info_span};

use crate::services::{Client, Server, call};
use crate::traces::{Traces, named};

/// Sends a request through the router without a network, reads the whole response, and returns the
/// only span.
async fn span(app: Router, request: Request<Body>) -> ReceivedSpan {
    let traces = Traces::new();
    let app = app.layer(TraceLayer::new(&traces.tracing));
    let response = app.oneshot(request).await.unwrap();
    let _ = response.into_body().collect().await;
    only(&traces)
}

fn only(traces: &Traces) -> ReceivedSpan {
    let spans = traces.end();
    let [span] = &spans[..] else {
        panic!("not one span: {spans:#?}")
    };
    span.clone()
}

fn request(method: &str, uri: &str) -> Request<Body> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = Request::builder().method(method).uri(uri);
    request.body(Body::empty()).unwrap()
}

fn names(span: &ReceivedSpan) -> Vec<&str> {
    span.attributes.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_http_request_is_described() {
    let traces = Traces::new();
    let app = Router::new()
        .route(
            "/v1/assets/{id}",
            post(|_: Bytes| async { (StatusCode::CREATED, "done!") }),
        )
        .layer(TraceLayer::new(&traces.tracing));
    let server = Server::http(app).await;
    let request = Request::post(server.url("/v1/assets/btc?token=secret"))
        .header("user-agent", "curl/8")
        .header("authorization", "Bearer secret")
        .header("cookie", "session=secret")
        .body(Body::from("12345678"))
        .unwrap();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let response = client.build_http().request(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    let spans = traces.collector.spans_when(|spans| spans.len() == 1).await;
    let span = &spans[0];
    assert_eq!(span.name, "POST /v1/assets/{id}");
    assert_eq!(span.kind, SpanKind::Server);
    assert_eq!(span.status, SpanStatus::Unset);
    assert_eq!(span.parent_id, None);
    assert!(span.events.is_empty());
    let attributes = &span.attributes;
    assert_eq!(attributes["http.request.method"], "POST");
    assert_eq!(attributes["url.path"], "/v1/assets/btc");
    assert_eq!(attributes["url.scheme"], "http");
    assert_eq!(attributes["http.route"], "/v1/assets/{id}");
    assert_eq!(attributes["http.response.status_code"], 201);
    assert_eq!(attributes["http.request.body.size"], 8);
    assert_eq!(attributes["http.response.body.size"], 5);
    assert_eq!(attributes["network.protocol.version"], "1.1");
    assert_eq!(attributes["user_agent.original"], "curl/8");
    assert_eq!(attributes["server.address"], "127.0.0.1");
    assert_eq!(attributes["server.port"], i64::from(server.address.port()));
    let others = ["level", "request_id", "otel.kind"];
    let others: Vec<_> = names(span)
        .into_iter()
        .filter(|name| others.contains(name))
        .collect();
    assert_eq!(others, [] as [&str; 0]);
    assert_eq!(span.attributes.len(), 11, "{:?}", names(span));
    assert!(!format!("{span:?}").contains("secret"));
}

#[tokio::test]
async fn a_request_without_a_route_is_named_by_its_method() {
    let span = span(Router::new(), request("GET", "/wp-admin.php?x=1")).await;
    assert_eq!(span.name, "GET");
    assert!(!span.attributes.contains_key("http.route"));
    assert_eq!(span.attributes["http.response.status_code"], 404);
    assert_eq!(span.status, SpanStatus::Unset, "the client's fault");
    assert!(!span.attributes.contains_key("error.type"));
}

#[tokio::test]
async fn what_a_client_makes_up_is_bounded() {
    let mut odd = request(&"M".repeat(5_000), &format!("/{}", "é".repeat(3_000)));
    let agent = [b"agent\xff ".as_slice(), &[b'x'; 5_000]].concat();
    odd.headers_mut()
        .insert("user-agent", agent.as_slice().try_into().unwrap());
    odd.headers_mut().insert(
        "host",
        format!("{}:99999", "h".repeat(5_000)).parse().unwrap(),
    );
    odd.headers_mut()
        .insert("x-forwarded-proto", "gopher".parse().unwrap());
    let span = span(Router::new().fallback(any(|| async {})), odd).await;
    assert_eq!(span.name, "HTTP");
    assert_eq!(span.attributes["http.request.method"], "_OTHER");
    assert_eq!(
        span.attributes["http.request.method_original"],
        "M".repeat(32).as_str()
    );
    assert_eq!(span.attributes["url.scheme"], "http");
    let length = |name: &str| format!("{:?}", span.attributes[name]).len();
    assert!(
        (1_000..1_100).contains(&length("url.path")),
        "{}",
        length("url.path")
    );
    assert!(length("user_agent.original") < 300);
    assert!(length("server.address") < 300);
}

#[tokio::test]
async fn the_host_is_taken_apart() {
    for (host, address, port) in [
        ("example.com", Some("example.com"), None),
        ("example.com:8443", Some("example.com"), Some(8443)),
        ("user:secret@example.com:1", Some("example.com"), Some(1)),
        ("[2001:db8::1]:80", Some("2001:db8::1"), Some(80)),
        ("a b", None, None),
    ] {
        let mut asked = request("GET", "/");
        asked.headers_mut().insert("host", host.parse().unwrap());
        asked
            .headers_mut()
            .insert("x-forwarded-proto", "https".parse().unwrap());
        let span = span(Router::new(), asked).await;
        let found = span.attributes.get("server.address");
        assert_eq!(found.is_some(), address.is_some(), "{host}");
        assert!(
            found.is_none_or(|found| *found == address.unwrap()),
            "{host}: {found:?}"
        );
        let found = span.attributes.get("server.port");
        assert!(
            found.is_none_or(|found| *found == port.unwrap()),
            "{host}: {found:?}"
        );
        assert_eq!(found.is_some(), port.is_some());
        assert_eq!(span.attributes["url.scheme"], "https");
    }
    let span = span(Router::new(), request("GET", "https://me@there:1/")).await;
    assert_eq!(span.attributes["server.address"], "there");
    assert_eq!(span.attributes["url.scheme"], "https");
}

#[tokio::test]
async fn versions_are_named() {
    for (version, name) in [
        (Version::HTTP_10, Some("1.0")),
        (Version::HTTP_11, Some("1.1")),
        (Version::HTTP_2, Some("2")),
        (Version::HTTP_3, Some("3")),
        (Version::HTTP_09, None),
    ] {
        let mut asked = request("GET", "/");
        *asked.version_mut() = version;
        let span = span(Router::new(), asked).await;
        let found = span.attributes.get("network.protocol.version");
        assert_eq!(found.is_some(), name.is_some());
        assert!(found.is_none_or(|found| *found == name.unwrap()));
    }
}

#[tokio::test]
async fn failures_of_the_service_are_errors() {
    let app = || {
        Router::new()
            .route("/503", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/400", get(|| async { StatusCode::BAD_REQUEST }))
            .route(
                "/error",
                get(|| async { Error::temporary("no database").into_response_body() }),
            )
            .route(
                "/body",
                get(|| async {
                    let chunks = [Ok("a part"), Err(std::io::Error::other("torn"))];
                    Response::new(Body::from_stream(stream::iter(chunks)))
                }),
            )
            .route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("the handler panicked")
                    }
                }),
            )
            .layer(RecoverLayer::new())
    };
    for (path, kind) in [
        ("/400", None),
        ("/503", Some("503")),
        ("/error", Some("503")),
        ("/panic", Some("500")),
        ("/body", Some("body_error")),
    ] {
        let span = span(app(), request("GET", path)).await;
        let status = match kind {
            Some(_) => SpanStatus::Error(String::new()),
            None => SpanStatus::Unset,
        };
        assert_eq!(span.status, status, "{path}");
        let found = span.attributes.get("error.type");
        assert_eq!(found.is_some(), kind.is_some(), "{path}");
        assert!(
            found.is_none_or(|found| *found == kind.unwrap()),
            "{path}: {found:?}"
        );
    }
}

/// Turns an error into the response that a handler would return.
trait IntoResponseBody {
    fn into_response_body(self) -> Response<Body>;
}

impl IntoResponseBody for Error {
    fn into_response_body(self) -> Response<Body> {
        self.to_response::<Vec<u8>>().map(Body::from)
    }
}

#[tokio::test]
async fn a_service_that_fails_or_panics_is_told() {
    let traces = Traces::new();
    let failing = service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>("broken") });
    let service = TraceLayer::new(&traces.tracing).layer(failing);
    assert!(service.oneshot(request("GET", "/failing")).await.is_err());
    let panicking = service_fn(|_: Request<Body>| async {
        if true {
            panic!("nothing catches this");
        }
        Ok::<Response<Body>, &str>(Response::default())
    });
    let service = TraceLayer::new(&traces.tracing).layer(panicking);
    let caught = std::panic::AssertUnwindSafe(service.oneshot(request("POST", "/panicking")));
    assert!(caught.catch_unwind().await.is_err());
    let spans = traces.end();
    for (name, kind) in [("GET", "service_error"), ("POST", "panicked")] {
        let span = named(&spans, name);
        assert_eq!(span.status, SpanStatus::Error(String::new()));
        assert_eq!(span.attributes["error.type"], kind);
        assert!(!span.attributes.contains_key("http.response.status_code"));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_error() {
    let traces = Traces::new();
    let waiting =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, &str>>());
    let service = TraceLayer::new(&traces.tracing).layer(waiting);
    assert!(
        service
            .oneshot(request("GET", "/head"))
            .now_or_never()
            .is_none()
    );
    let endless = service_fn(|_: Request<Body>| async {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        Ok::<_, &str>(Response::new(body))
    });
    let service = TraceLayer::new(&traces.tracing).layer(endless);
    drop(service.oneshot(request("POST", "/body")).await.unwrap());
    let spans = traces.end();
    for (name, status) in [("GET", None), ("POST", Some(200))] {
        let span = named(&spans, name);
        assert_eq!(span.status, SpanStatus::Unset);
        assert_eq!(span.attributes["error.type"], "cancelled");
        let found = span.attributes.get("http.response.status_code");
        assert_eq!(found.is_some(), status.is_some());
        assert!(found.is_none_or(|found| *found == status.unwrap()));
    }
}

#[tokio::test]
async fn a_grpc_call_is_described() {
    let traces = Traces::new();
    let server = Server::grpc(
        &traces.tracing,
        Arc::new(|_, message| {
            let reply = match message.as_str() {
                "missing" => Err(tonic::Status::not_found("no such asset")),
                "broken" => Err(tonic::Status::internal("broken")),
                _ => Ok("42".to_owned()),
            };
            async { reply }.boxed()
        }),
    )
    .await;
    for (count, (message, status, failed, client_failed)) in [
        ("btc", "OK", false, false),
        ("missing", "NOT_FOUND", false, true),
        ("broken", "INTERNAL", true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let _ = call(&traces.tracing, &server, "/test.Prices/Get", message).await;
        let spans = traces
            .collector
            .spans_when(move |spans| spans.len() == 2 * (count + 1))
            .await;
        for span in &spans[2 * count..] {
            assert_eq!(span.name, "test.Prices/Get");
            assert_eq!(span.attributes["rpc.system.name"], "grpc");
            assert_eq!(span.attributes["rpc.method"], "test.Prices/Get");
            assert_eq!(span.attributes["rpc.status_code"], status);
            let failed = match span.kind {
                SpanKind::Server => failed,
                _ => client_failed,
            };
            let expected = match failed {
                true => SpanStatus::Error(String::new()),
                false => SpanStatus::Unset,
            };
            assert_eq!(span.status, expected, "{message}: {span:?}");
            assert_eq!(span.attributes.contains_key("error.type"), failed);
            assert!(!failed || span.attributes["error.type"] == status);
            assert_eq!(
                span.attributes["server.port"],
                i64::from(server.address.port())
            );
            let address = match span.kind {
                SpanKind::Server => "127.0.0.1",
                _ => "prices.internal",
            };
            assert_eq!(span.attributes["server.address"], address);
            assert!(!span.attributes.contains_key("url.path"));
        }
    }
}

#[tokio::test]
async fn a_grpc_method_that_is_not_there_names_no_span() {
    let traces = Traces::new();
    let server = Server::grpc(
        &traces.tracing,
        Arc::new(|_, _| async { Ok(String::new()) }.boxed()),
    )
    .await;
    for method in ["/test.Prices/MadeUp", "/made.Up/Method"] {
        let refused = call(&traces.tracing, &server, method, "").await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::Unimplemented);
    }
    let spans = traces.collector.spans_when(|spans| spans.len() == 4).await;
    let mut asked = Vec::new();
    for span in spans.iter().filter(|span| span.kind == SpanKind::Server) {
        assert_eq!(span.name, "grpc");
        assert_eq!(span.attributes["rpc.method"], "_OTHER");
        assert_eq!(span.attributes["error.type"], "UNIMPLEMENTED");
        asked.push(span.attributes["rpc.method_original"].clone());
    }
    assert_eq!(
        asked,
        ["test.Prices/MadeUp", "made.Up/Method"]
            .map(|name| { cqi_trace::testing::SpanValue::Text(name.to_owned()) })
    );
}

#[tokio::test]
async fn a_grpc_caller_that_goes_away_is_no_error() {
    let traces = Traces::new();
    let waiting =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, &str>>());
    let service = TraceLayer::new(&traces.tracing).layer(waiting);
    let mut call = request("POST", "/test.Prices/Get");
    call.headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    assert!(service.oneshot(call).now_or_never().is_none());
    let span = only(&traces);
    assert_eq!(span.status, SpanStatus::Unset);
    assert_eq!(span.attributes["error.type"], "CANCELLED");
    assert_eq!(span.attributes["rpc.status_code"], "CANCELLED");
}

#[tokio::test]
async fn probes_and_scrapes_have_no_span() {
    let traces = Traces::new();
    let app = Router::new().fallback(any(|| async {
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        (StatusCode::OK, headers)
    }));
    let app = app.layer(TraceLayer::new(&traces.tracing));
    for path in ["/health/live", "/metrics"] {
        let response = app.clone().oneshot(request("GET", path)).await.unwrap();
        assert!(response.headers().get("traceparent").is_none());
    }
    assert!(traces.end().is_empty());
}

/// What comes after the layer of traces sees the ids of the request.
#[derive(Clone)]
struct Ids(Arc<std::sync::Mutex<Vec<Option<TraceIds>>>>);

impl Observer for Ids {
    type Observation = Nothing;

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) -> Nothing {
        self.0.lock().unwrap().push(info.trace());
        Nothing
    }
}

struct Nothing;

impl Observation for Nothing {
    fn on_end(self, _: &Outcome<'_>) {}
}

#[tokio::test]
async fn other_observers_learn_the_ids() {
    let traces = Traces::with(|config| config.sample_ratio = 0.0);
    let seen = Ids(Arc::default());
    let layer = ObserveLayer::new((TraceLayer::new(&traces.tracing), seen.clone()));
    let app = Router::new().layer(layer);
    for flag in ["00", "01"] {
        let mut request = request("GET", "/");
        let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flag}");
        request
            .headers_mut()
            .insert("traceparent", parent.parse().unwrap());
        app.clone().oneshot(request).await.unwrap();
    }
    app.oneshot(request("GET", "/")).await.unwrap();
    let span = only(&traces);
    let seen: Vec<_> = seen
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|ids| ids.unwrap())
        .collect();
    let [unsampled, sampled, root] = seen[..] else {
        panic!("{seen:?}")
    };
    assert!(!unsampled.sampled && sampled.sampled && !root.sampled);
    assert_eq!(unsampled.trace_id, sampled.trace_id);
    assert_eq!(
        (sampled.trace_id, sampled.span_id),
        (span.trace_id, span.span_id)
    );
    assert_ne!(root.trace_id, span.trace_id);
}

#[tokio::test]
async fn a_span_ends_with_its_response() {
    let traces = Traces::new();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(Some(wait)));
    let tasks = Arc::new(std::sync::Mutex::new(tokio::task::JoinSet::new()));
    let _running = Arc::clone(&tasks);
    let app = Router::new().route(
        "/",
        get(move || {
            let wait = wait.lock().unwrap().take().unwrap();
            // It goes on in the request's span after the response.
            let later = async move {
                wait.await.unwrap();
                info_span!("later").in_scope(|| info!("still in the trace"));
            };
            tasks.lock().unwrap().spawn(later.in_current_span());
            async {}
        }),
    );
    let app = app.layer(TraceLayer::new(&traces.tracing));
    app.oneshot(request("GET", "/"))
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    let spans = traces.collector.spans_when(|spans| spans.len() == 1).await;
    go.send(()).unwrap();
    let both = traces.collector.spans_when(|spans| spans.len() == 2).await;
    assert_eq!(named(&both, "later").parent_id, Some(spans[0].span_id));
    assert!(spans[0].duration < Duration::from_secs(60));
}

#[tokio::test]
async fn log_and_trace_agree_in_any_order() {
    for sampled in [0.0, 1.0] {
        for log_first in [false, true] {
            let traces = Traces::with(|config| config.sample_ratio = sampled);
            let (trace, log) = (TraceLayer::new(&traces.tracing), cqi_log::LogLayer::new());
            let app = Router::new().route(
                "/",
                get(|| async {
                    info!("inside");
                    let mut headers = HeaderMap::new();
                    inject(&mut headers);
                    headers
                }),
            );
            let app = match log_first {
                true => app.layer(ObserveLayer::new((log, trace))),
                false => app.layer(ObserveLayer::new((trace, log))),
            };
            let response = app.oneshot(request("GET", "/")).await.unwrap();
            let parent = response.headers()["traceparent"]
                .to_str()
                .unwrap()
                .to_owned();
            let id = response.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            response.into_body().collect().await.unwrap();
            let lines = traces.logs.lines();
            assert_eq!(lines.len(), 2);
            for line in &lines {
                let text = |key: &str| line[key].as_str().unwrap().to_owned();
                let flag = if sampled == 0.0 { "00" } else { "01" };
                assert_eq!(
                    format!("00-{}-{}-{flag}", text("trace_id"), text("span_id")),
                    parent
                );
                assert_eq!(text("request_id"), id);
                assert!(line.get("otel.kind").is_none());
            }
            let spans = traces.end();
            assert_eq!(spans.len(), sampled as usize, "{log_first} {spans:#?}");
        }
    }
}

#[tokio::test]
async fn without_the_layer_of_spans_requests_pass() {
    let collector = cqi_trace::testing::Collector::start().unwrap();
    let tracing = cqi_trace::Tracing::init(&collector.config(), &crate::traces::service()).unwrap();
    let app = Router::new().layer(TraceLayer::new(&tracing));
    let server = Server::http(app).await;
    assert_eq!(Client::traced(&tracing).get(server.url("/")).await.0, 404);
    tracing.shutdown(crate::traces::SOON).unwrap();
    assert!(collector.spans().is_empty());
}
