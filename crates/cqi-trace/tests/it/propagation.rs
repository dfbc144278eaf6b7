//! What is sent from where.

use cqi_tower::TraceIds;
use cqi_trace::testing::SpanKind;
use cqi_trace::{TraceContext, extract_event, inject, inject_event};
use http::HeaderMap;
use opentelemetry::trace::TraceContextExt as _;
use tokio::task::JoinSet;
use tracing::{Instrument as _, info, info_span};

use crate::traces::{Traces, named};

const IDS: TraceIds = TraceIds {
    trace_id: 0x0af7651916cd43dd8448eb211c80319c,
    span_id: 0xb7ad6b7169203331,
    sampled: false,
};

fn injected() -> Option<TraceContext> {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    let context = cqi_trace::extract(&headers);
    assert_eq!(context, TraceContext::current());
    assert_eq!(headers.len(), usize::from(context.is_some()));
    context
}

#[test]
fn outside_of_a_span_nothing_is_sent() {
    assert_eq!(injected(), None);
    let traces = Traces::new();
    assert_eq!(injected(), None);
    let mut headers = HeaderMap::from_iter([(http::header::HOST, "x".parse().unwrap())]);
    headers.insert("traceparent", "as it was".parse().unwrap());
    inject(&mut headers);
    assert_eq!(headers["traceparent"], "as it was");
    drop(traces);
    let _span = info_span!("without a subscriber").entered();
    assert_eq!(injected(), None);
}

#[test]
fn the_innermost_recorded_span_is_sent() {
    let traces = Traces::new();
    let (outer, inner) = info_span!("outer").in_scope(|| {
        let outer = injected().unwrap().ids();
        (
            outer,
            info_span!("inner").in_scope(|| injected().unwrap().ids()),
        )
    });
    let spans = traces.end();
    for (name, ids) in [("outer", outer), ("inner", inner)] {
        let span = named(&spans, name);
        assert_eq!((ids.trace_id, ids.span_id), (span.trace_id, span.span_id));
        assert!(ids.sampled);
    }
}

#[tokio::test]
async fn it_is_sent_from_nested_spans_and_tasks_of_an_unsampled_one() {
    let traces = Traces::new();
    let producer = TraceContext::new(IDS).unwrap();
    let span = traces.tracing.consumer_span("process", Some(&producer));
    let (own, nested, task) = async {
        let own = injected().unwrap();
        let nested = async { injected().unwrap() }
            .instrument(info_span!("nested"))
            .await;
        let task = async { injected() }.in_current_span();
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        let task = tasks.join_next().await.unwrap().unwrap().unwrap();
        tasks.spawn(async { injected() });
        assert_eq!(tasks.join_next().await.unwrap().unwrap(), None);
        (own, nested, task)
    }
    .instrument(span)
    .await;
    assert_eq!(own.ids().trace_id, IDS.trace_id);
    assert_ne!(own.ids().span_id, IDS.span_id);
    assert!(!own.ids().sampled);
    assert_eq!((&nested, &task), (&own, &own));
    assert!(traces.end().is_empty());
}

#[test]
fn an_event_takes_its_producers_trace_to_the_consumer() {
    let traces = Traces::new();
    let mut headers: Vec<(&'static str, Vec<u8>)> = Vec::new();
    info_span!("publish", otel.kind = "producer").in_scope(|| {
        inject_event(|name, value| headers.push((name, value.to_vec())));
    });
    headers.push(("tracestate", b"foo=1".into()));
    let pairs = headers
        .iter()
        .map(|(name, value)| (*name, value.as_slice()));
    let producer = extract_event(pairs).unwrap();
    let span = traces
        .tracing
        .consumer_span("process price_updated", Some(&producer));
    let mut again = Vec::new();
    span.in_scope(|| {
        info!("handled");
        info_span!("deeper")
            .in_scope(|| inject_event(|name, value| again.push((name, value.to_vec()))));
    });
    drop(span);
    let spans = traces.end();
    let (publish, process) = (
        named(&spans, "publish"),
        named(&spans, "process price_updated"),
    );
    assert_eq!(publish.kind, SpanKind::Producer);
    assert_eq!(process.kind, SpanKind::Consumer);
    assert_eq!(process.parent_id, Some(publish.span_id));
    assert!(process.parent_is_remote);
    assert_eq!(process.trace_state, "foo=1");
    assert_eq!(again[1], ("tracestate", b"foo=1".to_vec()));
    assert_eq!(
        traces.logs.lines()[0]["span_id"],
        format!("{:016x}", process.span_id)
    );
}

#[test]
fn a_state_that_opentelemetry_does_not_take_goes_on_from_nested_spans() {
    let traces = Traces::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let pairs = [("traceparent", parent), ("tracestate", "rojo@@x=1")];
    let producer = extract_event(pairs.map(|(name, value)| (name, value.as_bytes()))).unwrap();
    let request = traces.tracing.consumer_span("request", Some(&producer));
    let inner =
        request.in_scope(|| info_span!("inner").in_scope(|| injected_with_state().unwrap()));
    assert_eq!(inner.state(), Some("rojo@@x=1"));
    assert!(inner.ids().sampled);
}

fn injected_with_state() -> Option<TraceContext> {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    cqi_trace::extract(&headers)
}

#[test]
fn an_event_of_nobody_starts_a_trace() {
    let traces = Traces::new();
    drop(traces.tracing.consumer_span("process", None));
    let spans = traces.end();
    assert_eq!(named(&spans, "process").parent_id, None);
}

#[test]
fn a_trace_of_its_own_inside_of_a_request_has_no_state_of_that() {
    let traces = Traces::new();
    let parent = [
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "a=1"),
    ];
    let producer = extract_event(parent.map(|(name, value)| (name, value.as_bytes()))).unwrap();
    let request = traces.tracing.consumer_span("request", Some(&producer));
    let alone = request.in_scope(|| {
        let job = info_span!("job");
        let own = opentelemetry::Context::new();
        tracing_opentelemetry::OpenTelemetrySpanExt::set_parent(&job, own).unwrap();
        job.in_scope(|| TraceContext::current().unwrap())
    });
    assert_ne!(alone.ids().trace_id, IDS.trace_id);
    assert_eq!(alone.state(), None);
}

/// OpenTelemetry's own context is not set: a library that sends that by itself sends nothing.
#[test]
fn opentelemetrys_own_context_is_empty() {
    for ratio in [0.0, 1.0] {
        let traces = Traces::with(|config| config.sample_ratio = ratio);
        let span = traces.tracing.consumer_span("process", None);
        span.in_scope(|| {
            assert!(injected().is_some());
            let context = opentelemetry::Context::current();
            assert!(!context.span().span_context().is_valid());
        });
    }
}

#[test]
fn a_context_is_made_of_ids_that_are_not_zero() {
    assert_eq!(TraceContext::new(TraceIds { trace_id: 0, ..IDS }), None);
    assert_eq!(TraceContext::new(TraceIds { span_id: 0, ..IDS }), None);
    let context = TraceContext::new(IDS).unwrap();
    assert_eq!(context.ids(), IDS);
    assert_eq!(
        format!("{context:>57}"),
        "  00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    );
}
