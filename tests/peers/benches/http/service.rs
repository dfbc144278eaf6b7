//! The service that all chains stand before, and the requests it gets.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

#[derive(Serialize, Deserialize)]
struct Asset {
    id: String,
    name: String,
    decimals: u8,
    tradable: bool,
    price: f64,
}

async fn asset(Path(id): Path<String>) -> Json<Asset> {
    Json(Asset {
        id,
        name: "Bitcoin".into(),
        decimals: 8,
        tradable: true,
        price: 91_234.5,
    })
}

async fn create(Json(asset): Json<Asset>) -> Json<Asset> {
    Json(asset)
}

/// Makes the routes, without any layer.
pub fn routes() -> Router {
    Router::new()
        .route("/v1/assets", post(create))
        .route("/v1/assets/{id}", get(asset))
        .route("/v1/assets/{id}/prices", get(asset))
        .route("/v1/venues/{venue}/orders/{id}", get(asset))
        .route("/health", get(async || "ok"))
}

pub const TARGET: &str = "/v1/assets/btc";

/// What a request through an ingress carries.
pub const HEADERS: [(HeaderName, &str); 8] = [
    (header::HOST, "assets.internal:8080"),
    (header::USER_AGENT, "okhttp/4.12.0"),
    (header::ACCEPT, "application/json"),
    (header::ACCEPT_ENCODING, "gzip, br"),
    (
        header::AUTHORIZATION,
        "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl",
    ),
    (header::FORWARDED, "for=203.0.113.7;proto=https"),
    (
        HeaderName::from_static("x-forwarded-for"),
        "203.0.113.7, 10.1.2.3",
    ),
    (HeaderName::from_static("x-forwarded-proto"), "https"),
];

/// Makes requests, all alike.
pub struct Client {
    uri: Uri,
    headers: [(HeaderName, HeaderValue); 8],
}

impl Client {
    pub fn new() -> Self {
        let value = |(name, value)| (name, HeaderValue::from_static(value));
        Self {
            uri: Uri::from_static(TARGET),
            headers: HEADERS.map(value),
        }
    }

    fn request(&self) -> Request {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = self.uri.clone();
        // A map with as much room as hyper gives it.
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        *request.headers_mut() = headers;
        request
    }

    /// Sends a request, as a server would, and reads the response to its end.
    pub async fn send(&self, app: &Router) -> Response<()> {
        let Ok(response) = app.clone().oneshot(self.request()).await;
        let (head, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            frame.expect("the body is in memory");
        }
        Response::from_parts(head, ())
    }
}
