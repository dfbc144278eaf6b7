//! What a line says, and at which level.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use axum::routing::get as by_get;
use cqi_errors::Error;
use cqi_log::LogLayer;
use expect_test::expect;
use http_body::Frame;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::info;

use super::{Frames, Sent, Service, block_on, data, get, poll_once, respond, send};
use crate::logs::{Logs, undated};

/// Returns the lines as they were written, from the target on and less what differs from run to run.
fn text(logs: &Logs) -> String {
    let mut out = String::new();
    for line in undated(&logs.text()).lines() {
        let line = blank(line, "\"request_id\":\"", "\"");
        let line = blank(&line, "\"duration_ms\":", ",");
        let level = line.split_once("\"level\":").unwrap().1.split(',').next();
        let target = line.split_once("\"message\":").unwrap().1;
        out += &format!("{} {target}\n", level.unwrap());
    }
    out
}

fn blank(line: &str, start: &str, end: &str) -> String {
    let Some((before, rest)) = line.split_once(start) else {
        return line.to_owned();
    };
    let at = rest.find(end).unwrap();
    format!("{before}{start}<>{}", &rest[at..])
}

async fn fail() -> Result<&'static str, Error> {
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    Err(Error::temporary("database is away").with_source(refused))
}

fn app() -> Router {
    let read = || async {
        info!(rows = 1, "asset read");
        "btc"
    };
    Router::new()
        .route("/v1/assets/{id}", by_get(read))
        .route("/fail", by_get(fail))
        .route(
            "/absent",
            by_get(|| async { Error::not_found("asset", "x") }),
        )
        .route("/health", by_get(|| async { "ready" }))
        .layer(LogLayer::new())
}

#[test]
fn a_request_has_one_line_and_its_id_is_in_all() {
    let logs = Logs::new();
    send(&logs, app(), get("/v1/assets/btc?token=hunter2"));
    expect![[r#"
        "info" "asset read","target":"it::requests::lines","request_id":"<>","rows":1}
        "info" "request","target":"cqi_log::request","request_id":"<>","method":"GET","route":"/v1/assets/{id}","path":"/v1/assets/btc","status":200,"duration_ms":<>,"request_bytes":0,"response_bytes":3}
    "#]]
    .assert_eq(&text(&logs));
    let lines = logs.lines();
    assert_eq!(lines[0]["request_id"], lines[1]["request_id"]);
    let duration = lines[1]["duration_ms"].as_f64().unwrap();
    assert!(duration > 0.0 && duration < 60_000.0, "{duration}");
}

#[test]
fn the_level_goes_by_whose_fault_it_is() {
    let logs = Logs::new();
    for path in ["/fail", "/absent", "/nowhere"] {
        send(&logs, app(), get(path));
    }
    expect![[r#"
        "error" "request","target":"cqi_log::request","request_id":"<>","method":"GET","route":"/fail","path":"/fail","status":503,"duration_ms":<>,"request_bytes":0,"response_bytes":129,"error":"database is away: connection refused"}
        "info" "request","target":"cqi_log::request","request_id":"<>","method":"GET","route":"/absent","path":"/absent","status":404,"duration_ms":<>,"request_bytes":0,"response_bytes":98}
        "info" "request","target":"cqi_log::request","request_id":"<>","method":"GET","path":"/nowhere","status":404,"duration_ms":<>,"request_bytes":0,"response_bytes":0}
    "#]].assert_eq(&text(&logs));
}

#[test]
fn the_start_is_told_at_debug() {
    let logs = Logs::at("debug");
    send(&logs, app(), get("/v1/assets/btc"));
    expect![[r#"
        "debug" "request started","target":"cqi_log::request","request_id":"<>","method":"GET","path":"/v1/assets/btc"}
        "info" "asset read","target":"it::requests::lines","request_id":"<>","rows":1}
        "info" "request","target":"cqi_log::request","request_id":"<>","method":"GET","route":"/v1/assets/{id}","path":"/v1/assets/btc","status":200,"duration_ms":<>,"request_bytes":0,"response_bytes":3}
    "#]].assert_eq(&text(&logs));
}

#[test]
fn levels_by_target_turn_lines_off() {
    let logs = Logs::at("info,cqi_log::request=off");
    send(&logs, app(), get("/v1/assets/btc"));
    send(&logs, app(), get("/fail"));
    assert_eq!(logs.lines().len(), 1, "the handler's own");
    logs.guard.set_level("info,cqi_log::request=error").unwrap();
    send(&logs, app(), get("/v1/assets/btc"));
    send(&logs, app(), get("/fail"));
    assert_eq!(logs.lines()[2]["status"], 503);
}

#[test]
fn probes_have_no_lines_but_ids() {
    let logs = Logs::at("debug");
    let response = send(&logs, app(), get("/health"));
    assert_eq!(response.headers()["x-request-id"].len(), 36);
    assert_eq!(logs.text(), "");
}

/// A gRPC service that ends with frames.
fn grpc(frames: impl Fn() -> Vec<Sent> + Clone) -> impl Service {
    respond(move || {
        let mut response = Response::new(Frames::new(frames()));
        let content_type = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", content_type);
        response
    })
}

fn call(path: &str) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/grpc")
        // As a router finds it; the method says more.
        .extension(cqi_tower::Route::from_static("/assets.v1.Assets/{*rest}"))
        .body(Body::empty())
        .unwrap()
}

fn trailers(status: &'static str) -> Sent {
    let status = HeaderValue::from_static(status);
    let name = HeaderName::from_static("grpc-status");
    Ok(Frame::trailers(HeaderMap::from_iter([(name, status)])))
}

#[test]
fn grpc_has_its_status_and_method() {
    let logs = Logs::new();
    for status in ["0", "5", "13", "12"] {
        let service = grpc(move || vec![data("reply"), trailers(status)]);
        send(&logs, service, call("/assets.v1.Assets/Read"));
    }
    expect![[r#"
        "info" "request","target":"cqi_log::request","request_id":"<>","method":"POST","path":"/assets.v1.Assets/Read","status":200,"grpc_method":"assets.v1.Assets/Read","grpc_status":"OK","duration_ms":<>,"request_bytes":0,"response_bytes":5}
        "info" "request","target":"cqi_log::request","request_id":"<>","method":"POST","path":"/assets.v1.Assets/Read","status":200,"grpc_method":"assets.v1.Assets/Read","grpc_status":"NOT_FOUND","duration_ms":<>,"request_bytes":0,"response_bytes":5}
        "error" "request","target":"cqi_log::request","request_id":"<>","method":"POST","path":"/assets.v1.Assets/Read","status":200,"grpc_method":"assets.v1.Assets/Read","grpc_status":"INTERNAL","duration_ms":<>,"request_bytes":0,"response_bytes":5}
        "error" "request","target":"cqi_log::request","request_id":"<>","method":"POST","path":"/assets.v1.Assets/Read","status":200,"grpc_status":"UNIMPLEMENTED","duration_ms":<>,"request_bytes":0,"response_bytes":5}
    "#]].assert_eq(&text(&logs));
}

#[test]
fn a_response_that_breaks_off_says_how() {
    let logs = Logs::new();
    let broken = || vec![data("half"), Err(io::ErrorKind::BrokenPipe.into())];
    send(
        &logs,
        respond(move || Response::new(Frames::new(broken()))),
        get("/broken"),
    );
    let failed = LogLayer::new().layer(service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    }));
    logs.run(|| block_on(failed.oneshot(get("/failed"))).unwrap_err());
    let never = LogLayer::new().layer(service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    }));
    logs.run(|| poll_once(never.oneshot(get("/left"))));
    let panicking = LogLayer::new().layer(service_fn(|_: Request<Body>| async {
        if true {
            panic!("no such luck");
        }
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let caught = catch_unwind(AssertUnwindSafe(|| send(&logs, panicking, get("/panics"))));
    assert!(caught.is_err());
    expect![[r#"
        "error" "request","target":"cqi_log::request","request_id":"<>","method":"GET","path":"/broken","status":500,"duration_ms":<>,"request_bytes":0,"response_bytes":4,"ending":"body_error"}
        "error" "request","target":"cqi_log::request","request_id":"<>","method":"GET","path":"/failed","status":500,"duration_ms":<>,"request_bytes":0,"response_bytes":0,"ending":"service_error"}
        "info" "request","target":"cqi_log::request","request_id":"<>","method":"GET","path":"/left","status":499,"duration_ms":<>,"request_bytes":0,"response_bytes":0,"ending":"cancelled"}
        "error" "request","target":"cqi_log::request","request_id":"<>","method":"GET","path":"/panics","status":500,"duration_ms":<>,"request_bytes":0,"response_bytes":0,"ending":"panicked"}
    "#]].assert_eq(&text(&logs));
}

/// An error whose text cannot be had.
#[derive(Debug)]
struct Unprintable;

impl std::fmt::Display for Unprintable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no text")
    }
}

impl std::error::Error for Unprintable {}

#[test]
fn an_error_that_cannot_be_printed_costs_itself_and_nothing_else() {
    let logs = Logs::new();
    let fail = || async { Error::permanent("read asset").with_source(Unprintable) };
    let app = Router::new()
        .route("/", by_get(fail))
        .layer(LogLayer::new());
    let response = send(&logs, app, get("/"));
    assert_eq!(response.status(), 500);
    let line = &logs.lines()[0];
    assert_eq!(
        (&line["level"], &line["status"]),
        (&"error".into(), &500.into())
    );
    assert!(line.get("error").is_none());
    assert_eq!(logs.guard.stats().lines_lost, 1);
}
