//! What users see of requests, layers and services.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};

use cqi_tower::{
    Ending, GrpcStatus, Observation, ObserveLayer, Observer, Outcome, Protocol, RecoverLayer,
    RequestInfo, Route, TraceIds,
};
use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::recorder::Recorder;
use crate::script::{Script, grpc, http, script};

/// Keeps what one look at a request shows.
#[derive(Clone, Default)]
struct Look(Arc<Mutex<Vec<String>>>);

impl Observer for Look {
    type Observation = Self;

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut RequestInfo) -> Self {
        assert!(info.started() <= Instant::now());
        assert!(info.span().is_disabled());
        assert_eq!((info.request_id(), info.trace()), (None, None));
        info.set_request_id(HeaderValue::from_static("01J"));
        info.set_trace(TraceIds {
            trace_id: 7,
            span_id: 8,
            sampled: true,
        });
        self.clone()
    }
}

impl Observation for Look {
    fn on_end(self, outcome: &Outcome<'_>) {
        let info = outcome.request;
        assert_eq!(info.request_id().unwrap(), "01J");
        assert_eq!(info.trace().unwrap().span_id, 8);
        self.0.lock().unwrap().push(format!(
            "{:?} {} {:?} {:?} {:?} {} {:?}",
            info.protocol(),
            info.path(),
            info.version(),
            info.grpc_method(),
            info.declared_size(),
            info.is_quiet(),
            outcome.request_size,
        ));
    }
}

async fn look(
    layer: ObserveLayer<Look>,
    look: Look,
    request: Request<Full<&'static [u8]>>,
) -> String {
    let service = layer.layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(Response::new(Script::default())))
    }));
    drop(service.oneshot(request).await.unwrap());
    look.0.lock().unwrap().pop().unwrap()
}

#[tokio::test]
async fn a_request_is_known_from_its_start() {
    let seen = Look::default();
    let layer = ObserveLayer::new(seen.clone());
    let mut request = Request::new(Full::new(&b"hello"[..]));
    *request.uri_mut() = "http://host/a/b?secret=1".parse().unwrap();
    *request.version_mut() = Version::HTTP_2;
    assert_eq!(
        look(layer.clone(), seen.clone(), request).await,
        "Http /a/b HTTP/2.0 None Some(5) false Some(5)"
    );

    let mut request = Request::new(Full::default());
    *request.uri_mut() = "/grpc.health.v1.Health/Check".parse().unwrap();
    let value = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert(header::CONTENT_TYPE, value);
    assert_eq!(
        look(layer, seen, request).await,
        "Grpc /grpc.health.v1.Health/Check HTTP/1.1 Some(\"grpc.health.v1.Health/Check\") Some(0) true Some(0)"
    );
}

#[tokio::test]
async fn quiet_paths_can_be_named() {
    let paths = [
        ("/internal/ping", true),
        ("/health", false),
        ("/internal/pings", false),
    ];
    for (path, quiet) in paths {
        let seen = Look::default();
        let layer = ObserveLayer::new(seen.clone()).quiet(["/internal/ping"]);
        let mut request = Request::new(Full::default());
        *request.uri_mut() = path.parse().unwrap();
        let line = look(layer, seen, request).await;
        assert!(line.contains(&format!("Some(0) {quiet}")), "{line}");
    }
}

#[tokio::test]
async fn an_authority_without_a_path_is_no_path() {
    let recorder = Recorder::new();
    let service = ObserveLayer::new(recorder.clone()).layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(Response::new(script([]))))
    }));
    let mut request = http();
    *request.method_mut() = http::Method::CONNECT;
    *request.uri_mut() = "host:443".parse().unwrap();
    drop(service.oneshot(request).await.unwrap());
    assert_eq!(
        (recorder.only().path.as_str(), recorder.only().ending),
        ("", Ending::Complete)
    );
}

#[tokio::test]
async fn services_can_be_reached_through_their_layers() {
    let handler = || {
        service_fn(|_: Request<String>| {
            ready(Ok::<_, Infallible>(Response::new(Script::default())))
        })
    };
    let mut watched = ObserveLayer::new(()).layer(handler());
    let _ = watched.get_ref();
    let _ = watched.get_mut().call(http()).await;
    let _ = watched.clone().into_inner().call(http()).await;
    let mut recovered = RecoverLayer::new().layer(handler());
    let _ = recovered.get_ref();
    let _ = recovered.get_mut().call(http()).await;
    let _ = recovered.clone().into_inner().call(http()).await;
}

#[tokio::test]
async fn all_can_be_printed() {
    let handler = service_fn(|_: Request<String>| {
        ready(Ok::<_, Infallible>(Response::new(Script::default())))
    });
    let layer = ObserveLayer::new(()).layer(RecoverLayer::new().layer(handler));
    assert!(format!("{layer:?}").starts_with("Observe { inner: Recover {"));
    let future = layer.clone().call(http());
    assert_eq!(format!("{future:?}"), "ResponseFuture { .. }");
    let response = future.await.unwrap();
    assert!(format!("{:?}", response.body()).starts_with("ResponseBody {"));
    let future = layer.into_inner().call(grpc());
    assert_eq!(format!("{future:?}"), "RecoverFuture { .. }");
    assert_eq!(format!("{:?}", Route::from_static("/a")), "Route(\"/a\")");
    let empty = cqi_tower::ResponseBody::<String, ()>::default();
    assert_eq!(
        format!("{empty:?}"),
        "ResponseBody { inner: Some(\"\"), .. }"
    );
}

#[test]
fn names_are_those_of_the_field() {
    let endings = [
        (Ending::Complete, "complete"),
        (Ending::Cancelled, "cancelled"),
        (Ending::BodyError, "body_error"),
        (Ending::ServiceError, "service_error"),
        (Ending::Panicked, "panicked"),
    ];
    for (ending, name) in endings {
        assert_eq!(ending.as_str(), name);
    }
    assert_eq!(format!("{:<10}|", GrpcStatus::OK), "OK        |");
    assert_eq!(GrpcStatus::from_code(17), GrpcStatus::UNKNOWN);
    assert_eq!(GrpcStatus::from_code(16).code(), 16);
    assert_eq!(Protocol::of(grpc().headers()), Protocol::Grpc);
}
