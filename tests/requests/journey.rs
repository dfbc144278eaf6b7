//! One trace from a client over HTTP to gRPC and back to HTTP, with logs and metrics on.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing;
use bytes::Bytes;
use cqi_trace::TraceClientLayer;
use cqi_trace::testing::{ReceivedSpan, SpanKind};
use http::Version;
use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tower::{Layer as _, Service as _};
use tracing::{Instrument as _, info, info_span};

use crate::client::{Client, get};
use crate::grpc::{Calls, Raw};
use crate::http_service;
use crate::server::Servers;
use crate::telemetry::Telemetry;

/// Asks over gRPC, on behalf of whoever asks over HTTP.
async fn travel(State((channel, layer)): State<(Channel, TraceClientLayer)>) -> String {
    info!("on the way");
    let mut calls = Grpc::new(layer.layer(channel));
    calls.ready().await.unwrap();
    let call = tonic::Request::new(Bytes::from_static(b"/status/200"));
    let path = PathAndQuery::from_static("/test.Calls/Relay");
    let answer = calls.unary(call, path, Raw).await.unwrap();
    String::from_utf8_lossy(answer.get_ref()).into_owned()
}

/// Starts the services, and makes one journey inside of a job.
fn journey(telemetry: &Telemetry) {
    let layer = TraceClientLayer::new(&telemetry.tracing);
    let routes = |calls| {
        let channel = Endpoint::from_shared(format!("http://{calls}"))
            .unwrap()
            .connect_lazy();
        let travel = Router::new()
            .route("/travel", routing::get(travel))
            .with_state((channel, layer.clone()));
        http_service::routes().merge(travel)
    };
    let calls = |routes| Calls {
        relay: Some((routes, layer.clone())),
    };
    telemetry.block_on(async {
        let servers = Servers::with(telemetry.layers(), routes, calls).await;
        let client = Client::connect(servers.http, Version::HTTP_11).await;
        let mut client = layer.layer(client);
        let answer = async {
            let answer = client.call(get("/travel")).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        let answer = answer.instrument(info_span!("job"));
        let answer = tokio::time::timeout(Duration::from_secs(5), answer)
            .await
            .unwrap();
        assert_eq!(answer, "200 OK");
        drop(client);
        telemetry.rest().await;
        servers.stop().await;
    });
}

#[test]
fn a_journey_over_all_protocols_is_one_trace() {
    let telemetry = Telemetry::start();
    journey(&telemetry);
    let lines = telemetry.logs.lines();
    let samples = telemetry.samples();

    telemetry.tracing.shutdown(Duration::from_secs(10)).unwrap();
    let spans = telemetry.collector.spans();
    let mut way: Vec<&ReceivedSpan> = Vec::new();
    while let Some(next) = spans
        .iter()
        .find(|span| span.parent_id == way.last().map(|last| last.span_id))
    {
        way.push(next);
    }
    let told: Vec<_> = way
        .iter()
        .map(|span| (span.kind, span.name.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (SpanKind::Internal, "job"),
            (SpanKind::Client, "GET"),
            (SpanKind::Server, "GET /travel"),
            (SpanKind::Client, "test.Calls/Relay"),
            (SpanKind::Server, "test.Calls/Relay"),
            (SpanKind::Client, "GET"),
            (SpanKind::Server, "GET /status/{code}"),
        ],
        "{spans:?}"
    );
    assert_eq!(way.len(), spans.len(), "{spans:?}");
    let trace = way[0].trace_id;
    assert!(way.iter().all(|span| span.trace_id == trace), "{way:?}");

    let trace = format!("{trace:032x}");
    for line in &lines {
        assert_eq!(line["trace_id"], trace.as_str(), "{line}");
    }
    let servers = way.iter().filter(|span| span.kind == SpanKind::Server);
    let servers: Vec<_> = servers
        .map(|span| format!("{:016x}", span.span_id))
        .collect();
    let ends = telemetry.access_lines();
    let mut told: Vec<_> = ends
        .iter()
        .map(|line| line["span_id"].as_str().unwrap())
        .collect();
    // The innermost ends first.
    told.reverse();
    assert_eq!(told, servers);
    let handler = lines.iter().find(|line| line["message"] == "on the way");
    assert_eq!(handler.unwrap()["span_id"], servers[0].as_str());

    for metric in [
        "service_http_request_duration_seconds_bucket",
        "service_grpc_call_duration_seconds_bucket",
    ] {
        let exemplars = samples
            .of(metric, &[])
            .filter_map(|sample| sample.exemplar.as_ref());
        let traces: Vec<_> = exemplars
            .map(|labels| labels["trace_id"].as_str())
            .collect();
        assert!(!traces.is_empty(), "{metric}");
        assert!(
            traces.iter().all(|found| *found == trace),
            "{metric}: {traces:?}"
        );
    }
}

#[test]
fn a_journey_that_is_not_sampled_keeps_its_trace_in_the_lines() {
    let telemetry = Telemetry::sampling(0.0);
    journey(&telemetry);
    telemetry.tracing.shutdown(Duration::from_secs(10)).unwrap();
    assert!(telemetry.collector.spans().is_empty());
    let ends = telemetry.access_lines();
    assert_eq!(ends.len(), 3, "{ends:?}");
    let trace = &ends[0]["trace_id"];
    assert!(trace.is_string(), "{ends:?}");
    assert!(
        telemetry
            .logs
            .lines()
            .iter()
            .all(|line| &line["trace_id"] == trace),
        "{ends:?}"
    );
    let samples = telemetry.samples();
    assert!(samples.0.iter().all(|sample| sample.exemplar.is_none()));
}
