//! What a handler logs, and whoever works for it, belongs to its request.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing;
use futures_util::stream;
use http::Version;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::task::JoinSet;
use tracing::{Instrument as _, info, info_span};

use crate::client::{Client, get};
use crate::http_service;
use crate::server::Servers;
use crate::telemetry::Telemetry;

fn routes() -> Router {
    http_service::routes().route("/work", routing::get(work))
}

async fn work() -> Body {
    info!("in the handler");
    tokio::task::yield_now().await;
    info!("after a wait");
    let mut tasks = JoinSet::new();
    tasks.spawn(async { info!("in a task") }.in_current_span());
    tasks.spawn(async { info!("in a task with a span") }.instrument(info_span!("inner", step = 1)));
    tasks.join_all().await;
    let lost_with_it = LogsWhenDropped("the future");
    let body = stream::unfold(LogsWhenDropped("the body"), |kept| async {
        info!("in the body");
        tokio::task::yield_now().await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), kept))
    });
    drop(lost_with_it);
    Body::from_stream(body)
}

/// Tells when it goes, as a guard of a user would.
struct LogsWhenDropped(&'static str);

impl Drop for LogsWhenDropped {
    fn drop(&mut self) {
        info!(what = self.0, "dropped");
    }
}

/// Runs one request with an id and a trace of the caller's, and returns all lines.
fn lines(path: &str, version: Version, frames: usize) -> Vec<Value> {
    let telemetry = Telemetry::start();
    telemetry.block_on(async {
        let servers = Servers::with_routes(telemetry.layers(), routes()).await;
        let mut request = get(path);
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        request
            .headers_mut()
            .insert("traceparent", parent.parse().unwrap());
        let mut client = Client::connect(servers.http, version).await;
        let exchange = async {
            let mut response = client.send(request).await.unwrap();
            assert_eq!(response.headers()["x-request-id"], "the-one");
            for _ in 0..frames {
                if response.body_mut().frame().await.is_none() {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), exchange)
            .await
            .unwrap();
        drop(client);
        servers.stop().await;
        telemetry.rest().await;
    });
    telemetry.logs.lines()
}

#[test]
fn lines_of_a_request_carry_its_ids_wherever_they_are_written() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let lines = lines("/work", version, 3);
        let count = |message: &str| {
            lines
                .iter()
                .filter(|line| line["message"] == message)
                .count()
        };
        for (message, times) in [
            ("in the handler", 1),
            ("after a wait", 1),
            ("in a task", 1),
            ("in a task with a span", 1),
            ("dropped", 2),
            ("request", 1),
        ] {
            assert_eq!(count(message), times, "{message}: {lines:?}");
        }
        assert!(count("in the body") >= 2, "{lines:?}");
        for line in &lines {
            assert_eq!(line["request_id"], "the-one", "{line}");
            assert_eq!(
                line["trace_id"], "0af7651916cd43dd8448eb211c80319c",
                "{line}"
            );
            assert!(line["span_id"].is_string(), "{line}");
        }
    }
}

#[test]
fn the_cause_of_a_failure_is_in_the_line_alone() {
    let lines = lines("/fail", Version::HTTP_11, 3);
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(line["level"], "error");
    let error = line["error"].to_string();
    for part in ["read the price", "the store is away", "the disk is on fire"] {
        assert!(error.contains(part), "{line}");
    }
}

#[test]
fn what_a_handler_panicked_with_is_logged_within_its_request() {
    for path in ["/panic", "/panic-in-body"] {
        let lines = lines(path, Version::HTTP_11, 3);
        let (ends, panics): (Vec<_>, Vec<_>) =
            lines.iter().partition(|line| line["message"] == "request");
        assert_eq!((ends.len(), panics.len()), (1, 1), "{lines:?}");
        assert_eq!(
            (&ends[0]["level"], &panics[0]["level"]),
            (&"error".into(), &"error".into())
        );
        assert!(panics[0].to_string().contains("panicked"), "{lines:?}");
        for key in ["request_id", "trace_id", "span_id"] {
            assert_eq!(ends[0][key], panics[0][key], "{lines:?}");
            assert!(ends[0][key].is_string(), "{key}: {lines:?}");
        }
    }
}
