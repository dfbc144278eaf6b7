//! A trace that crosses client, HTTP, gRPC and client again is one.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use cqi_trace::testing::{ReceivedSpan, SpanKind};
use cqi_trace::{TraceLayer, extract};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request};
use tracing::info;

use crate::services::{Client, Server, call};
use crate::traces::Traces;

/// A request passes from the test through three servers. Returns what the last one saw of the trace.
async fn cross(traces: &Traces, headers: &[(&str, &str)]) -> HeaderMap {
    let tracing = traces.tracing.clone();
    let last = Router::new()
        .route(
            "/v1/venues/{id}",
            get(|headers: HeaderMap| async move {
                info!("at the end");
                let headers = headers
                    .iter()
                    .filter(|(name, _)| name.as_str().starts_with("trace"));
                let lines: Vec<_> = headers
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                    .collect();
                lines.join("\n")
            }),
        )
        .layer(TraceLayer::new(&tracing));
    let last = Server::http(last).await;

    let (client, url) = (Client::traced(&tracing), last.url("/v1/venues/x?secret=1"));
    let middle = Server::grpc(
        &tracing,
        Arc::new(move |_, _| {
            let (client, url) = (client.clone(), url.clone());
            async move {
                info!("in the middle");
                let (_, body) = client.get(url).await;
                Ok(String::from_utf8_lossy(&body).into_owned())
            }
            .boxed()
        }),
    )
    .await;
    let middle = Arc::new(middle);

    let tracing = traces.tracing.clone();
    let first = Router::new()
        .route(
            "/v1/assets/{id}",
            get(move || {
                let (tracing, middle) = (tracing.clone(), Arc::clone(&middle));
                async move {
                    info!("at first");
                    call(&tracing, &middle, "/test.Prices/Get", "btc")
                        .await
                        .unwrap()
                }
            }),
        )
        .layer(TraceLayer::new(&traces.tracing));
    let first = Server::http(first).await;

    let mut request = Request::get(first.url("/v1/assets/btc"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = if headers.is_empty() {
        Client::traced(&traces.tracing)
    } else {
        Client::plain()
    };
    let (status, body) = client.send(request).await;
    assert_eq!(status, 200);
    let lines = String::from_utf8(body.to_vec()).unwrap();
    let seen = lines.lines().map(|line| line.split_once(": ").unwrap());
    seen.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect::<Vec<(http::HeaderName, http::HeaderValue)>>()
        .into_iter()
        .collect()
}

/// Follows parents from the last server's span to the first.
fn chain(spans: &[ReceivedSpan]) -> Vec<(&str, SpanKind)> {
    let parent = |span: &ReceivedSpan| {
        let id = span.parent_id?;
        spans.iter().find(|other| other.span_id == id)
    };
    let last = spans.iter().find(|span| span.name == "GET /v1/venues/{id}");
    let chain = std::iter::successors(last, |span| parent(span));
    chain.map(|span| (span.name.as_str(), span.kind)).collect()
}

const SERVERS: [(&str, SpanKind); 5] = [
    ("GET /v1/venues/{id}", SpanKind::Server),
    ("GET", SpanKind::Client),
    ("test.Prices/Get", SpanKind::Server),
    ("test.Prices/Get", SpanKind::Client),
    ("GET /v1/assets/{id}", SpanKind::Server),
];

#[tokio::test]
async fn it_is_one_trace_from_the_first_client_on() {
    let traces = Traces::new();
    let seen = cross(&traces, &[]).await;
    let spans = traces.collector.spans_when(|spans| spans.len() == 6).await;
    let client = [("GET", SpanKind::Client)];
    assert_eq!(chain(&spans), [&SERVERS[..], &client].concat());
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
    for span in &spans {
        assert_eq!(
            span.parent_is_remote,
            span.kind == SpanKind::Server,
            "{span:?}"
        );
    }
    assert_eq!(extract(&seen).unwrap().ids().trace_id, spans[0].trace_id);
    assert!(seen.get("tracestate").is_none());
}

#[tokio::test]
async fn a_callers_trace_goes_on_with_its_state() {
    // This key is one that OpenTelemetry's own type does not take.
    let state = "congo=t61rcWkgMzE ,\t rojo@@x=00f067aa0ba902b7";
    let traces = Traces::with(|config| config.sample_ratio = 0.0);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
    let seen = cross(&traces, &[("traceparent", parent), ("tracestate", state)]).await;
    let spans = traces.collector.spans_when(|spans| spans.len() == 5).await;
    assert_eq!(chain(&spans), SERVERS);
    let first = spans.iter().find(|span| span.name == SERVERS[4].0).unwrap();
    assert_eq!(first.trace_id, 0x0af7651916cd43dd8448eb211c80319c);
    assert_eq!(first.parent_id, Some(0xb7ad6b7169203331));
    assert!(first.parent_is_remote);
    assert_eq!(seen["tracestate"], state);
    let last = extract(&seen).unwrap();
    assert!(last.to_string().ends_with("-03"), "{last}");

    for line in traces.logs.lines() {
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        let id = u64::from_str_radix(line["span_id"].as_str().unwrap(), 16).unwrap();
        let span = spans.iter().find(|span| span.span_id == id).unwrap();
        assert_eq!(span.kind, SpanKind::Server);
    }
    assert_eq!(traces.logs.lines().len(), 3);
}

#[tokio::test]
async fn an_unsampled_trace_goes_on_without_a_span() {
    let state = "congo=t61rcWkgMzE,rojo@@x=00f067aa0ba902b7";
    let traces = Traces::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let seen = cross(&traces, &[("traceparent", parent), ("tracestate", state)]).await;
    let last = extract(&seen).unwrap();
    assert_eq!(last.ids().trace_id, 0x0af7651916cd43dd8448eb211c80319c);
    assert_ne!(last.ids().span_id, 0xb7ad6b7169203331);
    assert!(!last.ids().sampled);
    assert_eq!(last.state(), Some(state));

    let lines = traces.logs.lines();
    assert_eq!(lines.len(), 3);
    let mut ids: Vec<_> = lines
        .iter()
        .map(|line| line["span_id"].as_str().unwrap())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each service has its own span");
    for line in &lines {
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    }
    let told = format!("{:016x}", last.ids().span_id);
    assert!(!ids.contains(&told.as_str()), "each call has its own id");
    assert!(traces.end().is_empty());
}

#[tokio::test]
async fn an_unsampled_root_of_a_client_goes_on_too() {
    let traces = Traces::with(|config| config.sample_ratio = 0.0);
    let seen = cross(&traces, &[]).await;
    let last = extract(&seen).unwrap();
    assert!(!last.ids().sampled);
    for line in traces.logs.lines() {
        assert_eq!(line["trace_id"], format!("{:032x}", last.ids().trace_id));
    }
    assert!(traces.end().is_empty());
}

#[tokio::test]
async fn with_tracing_off_a_callers_trace_passes_through() {
    let traces = Traces::with(|config| config.enabled = false);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let seen = cross(&traces, &[("traceparent", parent), ("tracestate", "a=1")]).await;
    assert_eq!(seen["traceparent"], parent);
    assert_eq!(seen["tracestate"], "a=1");
    assert_eq!(
        traces.logs.lines()[0]["trace_id"],
        "0af7651916cd43dd8448eb211c80319c"
    );
}
