use axum::Router;
use axum::body::Body;
use axum::routing::get;
use cqi_config::MetricsConfig;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{metrics, settings};

async fn answer(app: Router, method: &str, path: &str) -> (StatusCode, http::HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status,
        head.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn a_merged_router_serves_the_metrics_at_their_path() {
    let metrics = metrics(&MetricsConfig {
        path: "/internal/metrics".to_owned(),
        ..settings()
    });
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .merge(metrics.router());

    let (status, headers, body) = answer(app.clone(), "GET", "/internal/metrics?x=y").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["content-length"], body.len().to_string());

    let (status, headers, body) = answer(app.clone(), "HEAD", "/internal/metrics").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    assert!(headers.contains_key("content-length"), "{headers:?}");

    let (status, headers, _) = answer(app.clone(), "POST", "/internal/metrics").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(headers["allow"], "GET, HEAD");

    assert_eq!(answer(app.clone(), "GET", "/").await.2, "hello");
    assert_eq!(
        answer(app, "GET", "/metrics").await.0,
        StatusCode::NOT_FOUND
    );
}
