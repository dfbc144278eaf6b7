//! The layers in axum's router, which knows the template of the route.

use axum::Router;
use axum::routing::{get, post};
use cqi_tower::{Ending, GrpcStatus, ObserveLayer, RecoverLayer};
use http::StatusCode;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::grpc::Tiny;
use crate::recorder::Recorder;
use crate::server::{Client, VERSIONS, request, serve};

fn app(recorder: &Recorder) -> Router {
    let orders = Router::new()
        .route("/{id}", get(async || "order"))
        .route("/{id}/lines/{*line}", get(async || "line"));
    Router::new()
        .route("/", get(async || "root"))
        .nest("/v1/orders", orders)
        .route("/v1/panic/{id}", post(async || -> &str { panic!("no") }))
        .route("/health", get(async || ""))
        .layer((ObserveLayer::new(recorder.clone()), RecoverLayer::new()))
}

#[tokio::test]
async fn the_route_is_the_template() {
    let cases = [
        ("GET", "/", 200, Some("/")),
        ("GET", "/v1/orders/7?full=1", 200, Some("/v1/orders/{id}")),
        (
            "GET",
            "/v1/orders/7/lines/a/b",
            200,
            Some("/v1/orders/{id}/lines/{*line}"),
        ),
        ("PUT", "/v1/orders/7", 405, Some("/v1/orders/{id}")),
        ("GET", "/v1/orders", 404, None),
        ("GET", "/nowhere", 404, None),
        ("POST", "/v1/panic/7", 500, Some("/v1/panic/{id}")),
    ];
    for version in VERSIONS {
        let recorder = Recorder::new();
        let server = serve(version, app(&recorder)).await;
        let mut client = Client::connect(version, &server).await;
        for (count, (method, path, status, route)) in (1..).zip(cases) {
            let response = client.send(request(method, path)).await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            response.into_body().collect().await.unwrap();
            let end = recorder.until_ended(count).await.pop().unwrap();
            assert_eq!((end.ending, end.status), (Ending::Complete, status));
            assert_eq!(end.route.as_deref(), route, "{method} {path}");
            assert_eq!(Some(end.path.as_str()), path.split('?').next());
        }
    }
}

/// What the README warns of: tonic's router brings a fallback of its own.
#[tokio::test]
async fn a_merged_tonic_router_hijacks_the_fallback() {
    let status = async |app: &Router, path| {
        let response = app.clone().oneshot(request("GET", path)).await.unwrap();
        (
            response.status(),
            response.headers().contains_key("grpc-status"),
        )
    };
    let recorder = Recorder::new();
    let grpc = tonic::service::Routes::new(Tiny).into_axum_router();
    let grpc = grpc.layer((ObserveLayer::new(recorder.clone()), RecoverLayer::new()));
    let merged = app(&recorder).merge(grpc);
    assert_eq!(status(&merged, "/nowhere").await, (StatusCode::OK, true));

    let fixed = merged.fallback(async || StatusCode::NOT_FOUND);
    assert_eq!(
        status(&fixed, "/nowhere").await,
        (StatusCode::NOT_FOUND, false)
    );
    assert_eq!(
        status(&fixed, "/v1/orders/7").await,
        (StatusCode::OK, false)
    );

    let mut call = request("POST", "/test.Tiny/Missing");
    let content_type = "application/grpc".parse().unwrap();
    call.headers_mut().insert("content-type", content_type);
    let response = fixed.clone().oneshot(call).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    let end = recorder.ends().pop().unwrap();
    assert_eq!(end.grpc, Some(GrpcStatus::UNIMPLEMENTED));
    assert_eq!(end.route.as_deref(), Some("/test.Tiny/{*rest}"));
}
