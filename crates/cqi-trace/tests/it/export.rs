//! What reaches the collector, and how each span is counted.

use std::time::Duration;

use cqi_config::{OtlpProtocol, Secret, TracingConfig};
use cqi_errors::Kind;
use cqi_trace::testing::{Collector, Fault, SpanKind, SpanStatus};
use cqi_trace::{TraceStats, Tracing};
use opentelemetry::Value;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Span, error, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::traces::{SOON, Traces, logs, named, service};

fn stats(exported: u64, dropped: u64, waiting: u64) -> impl Fn(TraceStats) {
    move |stats| {
        let seen = (stats.exported, stats.dropped, stats.waiting);
        assert_eq!(seen, (exported, dropped, waiting));
    }
}

#[test]
fn a_span_arrives_as_it_was() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let traces = Traces::with(|config| config.protocol = protocol);
        info_span!(
            "outer",
            otel.kind = "client",
            rows = 7,
            share = 0.5,
            cached = true
        )
        .in_scope(|| {
            let inner = info_span!("inner", otel.status_code = Empty, user = "ada");
            inner.record("otel.status_code", "ERROR");
            inner.in_scope(|| error!("an event stays in the log"));
        });
        let spans = traces.end();
        assert_eq!(spans.len(), 2);
        let (outer, inner) = (named(&spans, "outer"), named(&spans, "inner"));
        assert_eq!(outer.kind, SpanKind::Client);
        assert_eq!(outer.parent_id, None);
        assert_eq!(outer.status, SpanStatus::Unset);
        let names: Vec<_> = outer.attributes.keys().map(String::as_str).collect();
        assert_eq!(names, ["cached", "rows", "share"]);
        assert_eq!(outer.attributes["rows"], 7);
        assert_eq!(outer.attributes["cached"], true);
        assert_eq!(inner.kind, SpanKind::Internal);
        assert_eq!(inner.parent_id, Some(outer.span_id));
        assert_eq!(inner.trace_id, outer.trace_id);
        assert_eq!(inner.status, SpanStatus::Error(String::new()));
        assert_eq!(inner.attributes["user"], "ada");
        assert!(inner.events.is_empty() && inner.links.is_empty());
        assert!(outer.start <= inner.start && outer.duration >= inner.duration);
        stats(2, 0, 0)(traces.tracing.stats());
    }
}

#[test]
fn the_resource_says_who_sent_it() {
    let traces = Traces::new();
    drop(info_span!("x"));
    let resource = &traces.end()[0].resource;
    assert_eq!(resource["service.name"], "asset-registry");
    assert_eq!(resource["service.version"], "1.2.3");
    assert_eq!(resource["deployment.environment.name"], "test");
    assert_eq!(resource["telemetry.sdk.language"], "rust");
    assert_eq!(resource["telemetry.sdk.name"], "opentelemetry");
    let host = rustix::system::uname()
        .nodename()
        .to_str()
        .unwrap()
        .to_owned();
    let instance = format!("{host}-{}", std::process::id());
    assert_eq!(resource["service.instance.id"], instance.as_str());
}

#[test]
fn headers_reach_the_collector() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let traces = Traces::with(|config| {
            config.protocol = protocol;
            let key = ("Authorization".to_owned(), Secret::new("Bearer abc"));
            config.headers = [key].into();
        });
        drop(info_span!("x"));
        traces.end();
        let headers = traces.collector.headers();
        assert_eq!(headers["authorization"], "Bearer abc");
        let agent = headers["user-agent"].to_str().unwrap();
        assert!(agent.starts_with("cqi-trace/"), "{agent}");
    }
}

#[test]
fn a_path_of_the_endpoint_is_kept() {
    for path in ["/v1/traces", "/v1/traces/", "/"] {
        let traces = Traces::with(|config| {
            config.protocol = OtlpProtocol::Http;
            config.endpoint += path;
        });
        drop(info_span!("x"));
        assert_eq!(traces.end().len(), 1, "{path}");
    }
    let traces = Traces::with(|config| {
        config.protocol = OtlpProtocol::Http;
        config.endpoint += "/not/there";
    });
    drop(info_span!("x"));
    assert!(traces.tracing.shutdown(SOON).is_err());
    stats(0, 1, 0)(traces.tracing.stats());
}

#[test]
fn an_address_may_be_of_either_kind() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(collector) = Collector::start_at(address.parse().unwrap()) else {
            // Not all machines have both.
            continue;
        };
        let config = TracingConfig {
            endpoint: collector.endpoint() + "/",
            ..collector.config()
        };
        let tracing = Tracing::init(&config, &service()).unwrap();
        let _logs = logs(&tracing, "info");
        drop(info_span!("x"));
        tracing.shutdown(SOON).unwrap();
        assert_eq!(collector.spans().len(), 1);
    }
}

#[test]
fn a_span_waits_no_longer_than_the_delay() {
    let traces = Traces::new();
    drop(info_span!("x"));
    traces.collector.wait_for(|spans| spans.len() == 1);
}

#[test]
fn a_full_batch_does_not_wait() {
    let traces = Traces::with(|config| {
        config.batch_size = 10;
        config.batch_delay = Duration::from_secs(3600);
    });
    // The first tick is at once.
    drop(info_span!("first"));
    for _ in 0..10 {
        drop(info_span!("x"));
    }
    traces.collector.wait_for(|spans| spans.len() >= 10);
}

#[test]
fn batches_are_as_large_as_is_set() {
    let traces = Traces::with(|config| {
        config.batch_size = 10;
        config.batch_delay = Duration::from_secs(3600);
        config.shutdown_timeout = Duration::from_millis(10);
    });
    traces.collector.set_fault(Fault::Silent);
    for _ in 0..100 {
        drop(info_span!("x"));
    }
    traces.collector.wait_for_exports(1);
    assert!(traces.tracing.stats().waiting == 100);
    drop(traces);

    let traces = Traces::with(|config| {
        config.batch_size = 10;
        config.batch_delay = Duration::from_secs(3600);
    });
    for _ in 0..95 {
        drop(info_span!("x"));
    }
    assert_eq!(traces.end().len(), 95);
    assert!(traces.collector.exports() >= 10);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let traces = Traces::with(|config| {
        config.queue_size = 50;
        config.batch_size = 50;
    });
    traces.collector.set_fault(Fault::Silent);
    for _ in 0..120 {
        drop(info_span!("x"));
    }
    // Those on their way take up room too.
    stats(0, 70, 50)(traces.tracing.stats());
    let error = traces
        .tracing
        .shutdown(Duration::from_millis(50))
        .unwrap_err();
    assert!(error.kind() == Kind::Temporary);
    assert!(
        error.to_string().contains("50 spans were dropped"),
        "{error}"
    );
    stats(0, 120, 0)(traces.tracing.stats());
}

#[test]
fn what_a_collector_refuses_is_dropped_at_once() {
    for (protocol, fault) in [
        (OtlpProtocol::Grpc, Fault::Refuse),
        (OtlpProtocol::Http, Fault::Refuse),
        (OtlpProtocol::Grpc, Fault::TooLarge),
        (OtlpProtocol::Http, Fault::TooLarge),
    ] {
        let traces = Traces::with(|config| config.protocol = protocol);
        traces.collector.set_fault(fault);
        drop(info_span!("x"));
        traces.collector.wait_for_exports(1);
        traces.collector.set_fault(Fault::None);
        drop(info_span!("y"));
        let spans = traces.collector.wait_for(|spans| !spans.is_empty());
        assert_eq!(spans[0].name, "y");
        traces.end();
        stats(1, 1, 0)(traces.tracing.stats());
    }
}

#[test]
fn what_a_collector_cannot_take_now_is_sent_again() {
    for (protocol, fault) in [
        (OtlpProtocol::Grpc, Fault::Unavailable),
        (OtlpProtocol::Http, Fault::Unavailable),
        (OtlpProtocol::Grpc, Fault::HangUp),
        (OtlpProtocol::Http, Fault::HangUp),
    ] {
        let traces = Traces::with(|config| config.protocol = protocol);
        traces.collector.set_fault(fault);
        drop(info_span!("x"));
        traces.collector.wait_for_exports(2);
        traces.collector.set_fault(Fault::None);
        traces.collector.wait_for(|spans| spans.len() == 1);
        traces.end();
        stats(1, 0, 0)(traces.tracing.stats());
    }
}

#[test]
fn a_collector_that_asks_to_wait_is_not_asked_before() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let traces = Traces::with(|config| config.protocol = protocol);
        traces
            .collector
            .set_fault(Fault::Throttle(Duration::from_secs(1)));
        let start = Instant::now();
        drop(info_span!("x"));
        traces.collector.wait_for_exports(1);
        traces.collector.set_fault(Fault::None);
        traces.collector.wait_for(|spans| spans.len() == 1);
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert_eq!(traces.collector.exports(), 2);

        // There is no point in waiting longer than the export may take.
        let wait = Fault::Throttle(Duration::from_secs(1 << 40));
        traces.collector.set_fault(wait);
        drop(info_span!("y"));
        traces.collector.wait_for_exports(3);
        traces.collector.set_fault(Fault::None);
        drop(info_span!("z"));
        traces.collector.wait_for(|spans| spans.len() == 2);
        traces.end();
        stats(2, 1, 0)(traces.tracing.stats());
    }
}

/// Makes spans of about 90 KB each.
fn large_spans(count: usize) {
    let text = "x".repeat(8 * 1024);
    for _ in 0..count {
        let span = info_span!("x", otel.name = text, otel.status_description = text);
        for index in 0..20 {
            span.set_attribute(format!("{index}"), text.clone());
        }
    }
}

#[test]
fn large_spans_take_up_more_room() {
    let traces = Traces::new();
    traces.collector.set_fault(Fault::Silent);
    large_spans(1_000);
    let seen = traces.tracing.stats();
    assert_eq!(seen.waiting + seen.dropped, 1_000);
    // They have 16 KiB for each of 2048.
    assert!((360..=390).contains(&seen.waiting), "{seen:?}");
    let _ = traces.tracing.shutdown(Duration::ZERO);
    stats(0, 1_000, 0)(traces.tracing.stats());
}

#[test]
fn large_spans_go_in_small_batches() {
    let traces = Traces::with(|config| config.batch_delay = Duration::from_secs(3600));
    large_spans(100);
    let spans = traces.end();
    assert_eq!(spans.len(), 100);
    // Some 34 fit into 3 MiB.
    assert!((3..=8).contains(&traces.collector.exports()));
    assert_eq!(spans[0].name.len(), 4096 + "…".len());
    let length = match &spans[0].status {
        SpanStatus::Error(text) => text.len(),
        _ => 0,
    };
    assert_eq!(length, 4096 + "…".len());
}

#[test]
fn a_span_that_is_larger_than_a_batch_goes_alone() {
    let traces = Traces::with(|config| config.batch_delay = Duration::from_secs(3600));
    for _ in 0..3 {
        let numbers = Value::Array(vec![1_i64; 300_000].into());
        info_span!("x").set_attribute("numbers", numbers);
    }
    assert_eq!(traces.end().len(), 3);
    assert_eq!(traces.collector.exports(), 3);
}

#[test]
fn a_partial_success_is_counted_as_such() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let traces = Traces::with(|config| {
            config.protocol = protocol;
            config.batch_delay = Duration::from_secs(3600);
        });
        traces.collector.set_fault(Fault::Partial(2));
        for _ in 0..5 {
            drop(info_span!("x"));
        }
        let error = traces.tracing.shutdown(SOON).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("2 spans"), "{text}");
        assert_eq!(traces.collector.spans().len(), 3);
        stats(3, 2, 0)(traces.tracing.stats());
    }
}

#[test]
fn a_connection_that_does_not_answer_is_replaced() {
    let traces = Traces::with(|config| config.export_timeout = Duration::from_millis(100));
    traces.collector.set_fault(Fault::Silent);
    drop(info_span!("x"));
    traces.collector.wait_for_exports(1);
    traces.collector.set_fault(Fault::None);
    // The first export holds the queue up until its time is over.
    drop(info_span!("y"));
    traces.collector.wait_for(|spans| spans.len() == 1);
    assert_eq!(traces.collector.connections(), 2);
    traces.end();
    stats(1, 1, 0)(traces.tracing.stats());
}

#[test]
fn a_collector_that_comes_back_gets_what_waits() {
    let traces = Traces::new();
    let address = traces.collector.address();
    let Traces {
        tracing,
        logs: _logs,
        collector,
    } = traces;
    drop(collector);
    drop(info_span!("x"));
    // As long as no server is there, the batch is tried again.
    let collector = Collector::start_at(address).unwrap();
    collector.wait_for(|spans| spans.len() == 1);
    tracing.shutdown(SOON).unwrap();
    stats(1, 0, 0)(tracing.stats());
}

#[test]
fn texts_and_attributes_have_a_limit() {
    let traces = Traces::new();
    let span = info_span!("x", text = "y".repeat(1 << 20));
    drop(span);
    let spans = traces.end();
    let cqi_trace::testing::SpanValue::Text(text) = &spans[0].attributes["text"] else {
        panic!("{:?}", spans[0].attributes);
    };
    assert_eq!(text.len(), 4096 + "…".len());
}

#[test]
fn of_an_attribute_recorded_twice_the_last_value_counts() {
    let traces = Traces::new();
    let span = info_span!("x", first = 1, twice = 1, last = 1);
    span.record("twice", 2);
    span.in_scope(|| ());
    span.record("twice", 3);
    drop(span);
    let attributes = &traces.end()[0].attributes;
    assert_eq!(attributes.len(), 3);
    assert_eq!(attributes["twice"], 3);
}

#[test]
fn every_span_of_many_threads_is_counted_once() {
    let traces = Traces::with(|config| {
        config.queue_size = 64;
        config.batch_size = 16;
        config.batch_delay = Duration::from_millis(1);
    });
    let dispatch = traces.logs.dispatch();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                tracing::dispatcher::with_default(dispatch, || {
                    for _ in 0..2_000 {
                        drop(info_span!("x"));
                        let stats = traces.tracing.stats();
                        assert!(stats.waiting <= 64);
                    }
                });
            });
        }
    });
    let _ = traces.tracing.shutdown(SOON);
    let seen = traces.tracing.stats();
    assert_eq!(seen.exported + seen.dropped, 8_000);
    assert_eq!(seen.waiting, 0);
    assert_eq!(seen.exported, traces.collector.spans().len() as u64);
    assert!(Span::current().is_none());
}
