//! The id of a request, on its way in, through and out.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use cqi_log::LogLayer;
use tower::{Layer as _, service_fn};
use tracing::{info, info_span};

use super::{get, send};
use crate::logs::Logs;

/// What became of a request's id.
struct Seen {
    handler: Vec<HeaderValue>,
    response: Vec<HeaderValue>,
    line: String,
}

impl Seen {
    /// Returns the id, which is the same wherever it is.
    fn id(&self) -> &str {
        assert_eq!(self.handler, self.response);
        assert_eq!(self.handler, [self.line.as_str()]);
        &self.line
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<HeaderValue> {
    headers.get_all(name).iter().cloned().collect()
}

fn with(layer: &LogLayer, name: &'static str, request: Request<Body>) -> Seen {
    let logs = Logs::new();
    let service = layer.layer(service_fn(|request: Request<Body>| async move {
        info!("in the handler");
        let mut response = Response::new(Body::empty());
        // A handler that sets one itself does not give the request a second.
        response
            .headers_mut()
            .insert("x-request-id", HeaderValue::from_static("of the handler"));
        for (index, id) in all(request.headers(), "x-request-id")
            .into_iter()
            .enumerate()
        {
            response
                .headers_mut()
                .insert(["handler-0", "handler-1"][index], id);
        }
        Ok::<_, Infallible>(response)
    }));
    let response = send(&logs, service, request);
    let lines = logs.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["request_id"], lines[1]["request_id"]);
    let handler = ["handler-0", "handler-1"].map(|name| all(response.headers(), name));
    Seen {
        handler: handler.concat(),
        response: all(response.headers(), name),
        line: lines[0]["request_id"].as_str().unwrap().to_owned(),
    }
}

fn sent(ids: &[&[u8]]) -> Seen {
    let mut request = get("/");
    for id in ids {
        let id = HeaderValue::from_bytes(id).unwrap();
        request.headers_mut().append("x-request-id", id);
    }
    with(&LogLayer::new(), "x-request-id", request)
}

#[test]
fn a_callers_id_goes_through_and_back() {
    for id in ["a", "0b8a-4f_6.1:9", "ABCDEFGHIJ", &"x".repeat(64)] {
        assert_eq!(sent(&[id.as_bytes()]).id(), id);
    }
}

#[test]
fn an_id_that_is_not_plain_is_replaced() {
    let huge = "x".repeat(1024 * 1024);
    let refused: [&[u8]; 9] = [
        b"",
        b"two words",
        b"\ttab",
        b"a\"quote",
        b"a\\backslash",
        b"\xff\xfe",
        "é".as_bytes(),
        &[b'x'; 65],
        huge.as_bytes(),
    ];
    for id in refused {
        let seen = sent(&[id]);
        assert_ne!(seen.id().as_bytes(), id);
        assert_eq!(seen.id().len(), 36);
    }
}

#[test]
fn several_ids_are_none() {
    assert_eq!(sent(&[b"one", b"two"]).id().len(), 36);
}

#[test]
fn a_request_without_an_id_gets_one_of_its_own() {
    assert_ne!(sent(&[]).id(), sent(&[]).id());
}

#[test]
fn the_header_can_have_another_name() {
    let layer = LogLayer::new().request_id_header("x-correlation-id");
    let mut request = get("/");
    let id = HeaderValue::from_static("abc");
    request.headers_mut().insert("x-correlation-id", id.clone());
    let seen = with(&layer, "x-correlation-id", request);
    assert_eq!((seen.line.as_str(), seen.response), ("abc", vec![id]));
    assert!(
        seen.handler.is_empty(),
        "the default is no longer of interest"
    );
}

#[test]
fn grpc_has_ids_too() {
    let mut request = get("/assets.v1.Assets/Read");
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("x-request-id", HeaderValue::from_static("abc"));
    assert_eq!(with(&LogLayer::new(), "x-request-id", request).id(), "abc");
}

/// Makes a span as an observer of traces does.
#[derive(Clone)]
struct Traces;

impl cqi_tower::Observer for Traces {
    type Observation = ();

    fn on_request<B>(&self, _: &mut Request<B>, info: &mut cqi_tower::RequestInfo) {
        let request_id = info.request_id().and_then(|id| id.to_str().ok());
        info.set_span(info_span!("traced", request_id, kind = "server"));
    }
}

#[test]
fn a_span_that_is_there_takes_the_id() {
    let logs = Logs::new();
    let observe = cqi_tower::ObserveLayer::new((Traces, LogLayer::new()));
    let service = observe.layer(service_fn(|_: Request<Body>| async {
        info!("in the handler");
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let response = send(&logs, service, get("/"));
    for line in logs.lines() {
        assert_eq!(line["kind"], "server");
        let id = line["request_id"].as_str().unwrap();
        assert_eq!(response.headers()["x-request-id"], id);
    }
}
