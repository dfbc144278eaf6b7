//! An axum handler that fails.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use cqi_errors::{Error, Kind, Result};
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

async fn fails() -> Result<&'static str> {
    let error = Error::temporary("pool of 8 is exhausted");
    Err(error
        .with_retry_after(Duration::from_millis(10))
        .context("read price"))
}

#[tokio::test]
async fn a_failed_handler_answers_with_a_problem() {
    let app = Router::new().route("/", get(fails));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(response.headers()["retry-after"], "1");

    let for_layers = response.extensions().get::<Arc<Error>>().unwrap();
    assert_eq!(for_layers.kind(), Kind::Temporary);
    assert_eq!(
        format!("{for_layers:#}"),
        "read price: pool of 8 is exhausted"
    );

    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        r#"{"type":"urn:cqi:problem:temporary","title":"Service Unavailable","status":503,"detail":"the service is temporarily unavailable"}"#
    );
}
