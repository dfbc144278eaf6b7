//! Whatever a client sends, each line is one line of JSON.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, Uri, Version};
use cqi_log::LogLayer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tower::{Layer as _, service_fn};
use tracing::info;

use super::send;
use crate::logs::Logs;

/// Returns how many cases to run: a second's worth, or as many as `CQI_LOG_CASES` says.
fn cases() -> Config {
    let cases = std::env::var("CQI_LOG_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    Config {
        cases: cases.unwrap_or(3_000),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Bytes that a parser of HTTP might let through, and those that break lines where one does not.
fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..longest),
        vec(
            prop::sample::select(b"\"\\\n\r\t\0{},:\x1b\x7f\xc2\x85\xe2\x80\xa8\xff".to_vec()),
            0..longest
        ),
        "[a-zA-Z0-9_.:-]{0,70}".prop_map(String::into_bytes),
        "\\PC{0,100}".prop_map(String::into_bytes),
    ]
}

/// Builds a request of what `http` takes of it.
fn request(method: &[u8], path: &[u8], headers: &[(&'static str, Vec<u8>)]) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    if let Ok(method) = Method::from_bytes(method) {
        *request.method_mut() = method;
    }
    let path = [b"/", path].concat();
    if let Ok(uri) = Uri::try_from(path) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(*name, value);
        }
    }
    request
}

/// Method, path, ids, user agent, the handler's answer, and whether it is gRPC.
type Input = (Vec<u8>, Vec<u8>, Vec<Vec<u8>>, Vec<u8>, Vec<u8>, bool);

#[test]
fn every_line_is_one_line_of_json() {
    let layer = LogLayer::new()
        .request_header("user-agent")
        .response_header("x-answer");
    let inputs = (
        bytes(100),
        bytes(2_000),
        vec(bytes(200), 0..3),
        bytes(1_000),
        bytes(1_000),
        any::<bool>(),
    );
    let logs = Logs::at("debug");
    let check = |(method, path, ids, agent, answer, grpc): Input| {
        logs.clear();
        let answer = &answer;
        let service = layer.layer(service_fn(|request: Request<Body>| {
            info!(id = ?request.headers().get("x-request-id"), "in the handler");
            let mut response = Response::new(Body::empty());
            if let Ok(value) = HeaderValue::from_bytes(answer) {
                response.headers_mut().insert("x-answer", value.clone());
                response.headers_mut().insert("grpc-status", value);
            }
            std::future::ready(Ok::<_, Infallible>(response))
        }));
        let mut headers = vec![("user-agent", agent)];
        headers.extend(ids.into_iter().map(|id| ("x-request-id", id)));
        if grpc {
            headers.push(("content-type", b"application/grpc".to_vec()));
        }
        let response = send(&logs, service, request(&method, &path, &headers));

        // That each write is one line of JSON is checked by `lines`.
        let lines = logs.lines();
        prop_assert_eq!(lines.len(), 3);
        let sent = response.headers()["x-request-id"].to_str().unwrap();
        prop_assert!((1..=64).contains(&sent.len()));
        for line in &lines {
            prop_assert_eq!(&line["request_id"], sent);
        }
        let raw = |character: char| {
            character.is_control() && character != '\n' || "\u{2028}\u{2029}".contains(character)
        };
        let text = logs.text();
        prop_assert!(!text.contains(raw), "{}", text);
        prop_assert!(text.lines().all(|line| line.len() < 8 * 1024));
        Ok(())
    };
    TestRunner::new(cases()).run(&inputs, check).unwrap();
}
