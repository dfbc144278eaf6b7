//! Headers that are logged because somebody chose them.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response};
use cqi_log::LogLayer;
use serde_json::Value;
use tower::{Layer as _, service_fn};

use super::{get, send};
use crate::logs::{Logs, config};

fn line(logs: &Logs, layer: &LogLayer, headers: &[(&'static str, &[u8])]) -> Value {
    let mut request = get("/");
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    let service = layer.layer(service_fn(|_: Request<Body>| async {
        let response = Response::builder()
            .header("content-type", "text/plain")
            .header("set-cookie", "session=hunter2");
        Ok::<_, Infallible>(response.body(Body::empty()).unwrap())
    }));
    send(logs, service, request);
    logs.lines().pop().unwrap()
}

#[test]
fn chosen_headers_are_fields() {
    let layer = LogLayer::new()
        .request_header("user-agent")
        .request_header("referer")
        .response_header("content-type")
        .response_header("x-cache");
    let logs = Logs::new();
    for _ in 0..2 {
        let line = line(&logs, &layer, &[("user-agent", b"curl/8.0")]);
        assert_eq!(line["request_header.user-agent"], "curl/8.0");
        assert_eq!(line["response_header.content-type"], "text/plain");
        assert!(line.get("request_header.referer").is_none());
        assert!(line.get("response_header.x-cache").is_none());
    }
}

#[test]
fn a_request_that_ends_without_a_response_has_its_own_headers() {
    let layer = LogLayer::new()
        .request_header("user-agent")
        .response_header("content-type");
    let logs = Logs::new();
    let never = layer.layer(service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    }));
    let mut request = get("/");
    let agent = HeaderValue::from_static("curl/8.0");
    request.headers_mut().insert("user-agent", agent);
    logs.run(|| super::poll_once(tower::ServiceExt::oneshot(never, request)));
    let line = &logs.lines()[0];
    assert_eq!(line["request_header.user-agent"], "curl/8.0");
    assert!(line.get("response_header.content-type").is_none());
}

#[test]
fn credentials_are_never_logged() {
    let secrets: [&'static str; 6] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "x-auth-token",
        "x-tenant-secret",
    ];
    // Without the list of the settings the layer keeps its own.
    let log = cqi_config::LogConfig {
        redact: vec!["X-Tenant_Secret".to_owned()],
        ..config("trace")
    };
    let logs = Logs::with(cqi_log::builder(), &log);
    let mut layer = LogLayer::new().response_header("set-cookie");
    for name in secrets {
        layer = layer.request_header(name);
    }
    let headers = secrets.map(|name| (name, b"hunter2".as_slice()));
    let line = line(&logs, &layer, &headers);
    for name in secrets {
        assert_eq!(
            line[format!("request_header.{name}")],
            "[redacted]",
            "{name}"
        );
    }
    assert_eq!(line["response_header.set-cookie"], "[redacted]");
    assert!(!logs.text().contains("hunter2"));
}

#[test]
fn a_header_marked_as_sensitive_is_not_logged() {
    let logs = Logs::new();
    let layer = LogLayer::new().request_header("x-custom");
    let mut request = get("/");
    let mut value = HeaderValue::from_static("hunter2");
    value.set_sensitive(true);
    request.headers_mut().insert("x-custom", value);
    let service = layer.layer(service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    send(&logs, service, request);
    assert_eq!(logs.lines()[0]["request_header.x-custom"], "[redacted]");
}

#[test]
fn a_value_is_bounded_and_never_raw() {
    let logs = Logs::new();
    let layer = LogLayer::new().request_header("user-agent");
    let long = line(&logs, &layer, &[("user-agent", &[b'x'; 100_000])]);
    let expected = format!("{}…[truncated]", "x".repeat(256));
    assert_eq!(long["request_header.user-agent"], expected);
    let raw = line(&logs, &layer, &[("user-agent", b"a\xff\"b\\\t")]);
    assert_eq!(raw["request_header.user-agent"], "a\u{fffd}\"b\\\t");
}

#[test]
fn a_path_and_a_method_are_bounded() {
    let logs = Logs::new();
    let path = format!("/{}?{}", "a".repeat(10_000), "b".repeat(10_000));
    let request = Request::builder()
        .method("M".repeat(1_000).as_str())
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let response = || Response::new(Body::empty());
    send(&logs, super::respond(response), request);
    let line = &logs.lines()[0];
    assert_eq!(line["path"], format!("/{}…[truncated]", "a".repeat(511)));
    assert_eq!(line["method"], format!("{}…[truncated]", "M".repeat(32)));
}

#[test]
#[should_panic(expected = "at most 16 headers")]
fn no_more_headers_can_be_chosen_than_fit() {
    let _ = (0..17).fold(LogLayer::new(), |layer, _| layer.request_header("x-a"));
}
