//! Trace ids from OpenTelemetry's spans.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId};
use opentelemetry::trace::{TraceState, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider};
use serde_json::Value;
use tracing::{Span, debug, debug_span, error, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, Registry, filter::filter_fn};

use crate::allocations;
use crate::logs::{Logs, config};

fn provider(sampler: Sampler) -> (SdkTracerProvider, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .with_sampler(sampler)
        .build();
    (provider, exporter)
}

fn traces(provider: &SdkTracerProvider) -> impl Layer<Registry> + Send + Sync + use<> {
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("test"))
        .with_filter(filter_fn(|metadata| !metadata.is_event()))
}

fn logs(provider: &SdkTracerProvider, level: &str) -> Logs {
    Logs::with(cqi_log::builder().with(traces(provider)), &config(level))
}

fn ids(span: &Span) -> (String, String) {
    let context = span.context();
    let context = context.span().span_context().clone();
    (
        context.trace_id().to_string(),
        context.span_id().to_string(),
    )
}

fn ids_of(line: &Value) -> (String, String) {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("trace_id"), text("span_id"))
}

#[test]
fn lines_carry_the_ids_of_the_innermost_span() {
    for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
        let (provider, exporter) = provider(sampler);
        let logs = logs(&provider, "info");
        let (outer, inner) = logs.run(|| {
            let outer = info_span!("outer");
            let inner = outer.in_scope(|| {
                info!("in outer");
                let inner = info_span!("inner");
                inner.in_scope(|| info!("in inner"));
                inner.in_scope(|| info!("in inner"));
                info!(parent: &inner, "beside inner");
                info!(parent: None, "outside");
                inner
            });
            info!(parent: &outer, "after");
            (ids(&outer), ids(&inner))
        });
        assert_eq!(outer.0, inner.0);
        let none = (String::new(), String::new());
        let seen: Vec<_> = logs.lines().iter().map(ids_of).collect();
        assert_eq!(
            seen,
            [&outer, &inner, &inner, &inner, &none, &outer].map(Clone::clone)
        );
        drop(exporter);
    }
}

#[test]
fn a_parent_set_before_the_first_line_is_kept() {
    let (provider, exporter) = provider(Sampler::AlwaysOn);
    let logs = logs(&provider, "info");
    let remote = SpanContext::new(
        TraceId::from(0xabc_u128),
        SpanId::from(0xd_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    logs.run(|| {
        let span = info_span!("request", user = "ada");
        span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote))
            .unwrap();
        span.in_scope(|| info!("x"));
    });
    let line = &logs.lines()[0];
    assert_eq!(line["trace_id"], "00000000000000000000000000000abc");
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].parent_span_id, SpanId::from(0xd_u64));
    assert_eq!(line["span_id"], spans[0].span_context.span_id().to_string());
    assert!(
        spans[0].events.events.is_empty(),
        "lines are no span events"
    );
}

#[test]
fn a_span_that_levels_hide_still_gives_its_ids() {
    let (provider, _exporter) = provider(Sampler::AlwaysOn);
    let logs = logs(&provider, "warn");
    let inner = logs.run(|| {
        let _outer = info_span!("outer", user = "ada").entered();
        let inner = debug_span!("inner", hidden = true);
        inner.in_scope(|| {
            debug!("hidden");
            error!("shown");
        });
        ids(&inner)
    });
    let lines = logs.lines();
    assert_eq!(ids_of(&lines[0]), inner);
    assert_eq!(lines[0]["user"], "ada");
    assert!(lines[0].get("hidden").is_none());
}

#[test]
fn a_span_kept_from_opentelemetry_has_its_parents_ids() {
    let (provider, _exporter) = provider(Sampler::AlwaysOn);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("test"))
        .with_filter(filter_fn(|metadata| metadata.target() != "untraced"));
    let logs = Logs::with(cqi_log::builder().with(layer), &config("info"));
    let outer = logs.run(|| {
        let outer = info_span!("outer");
        outer.in_scope(|| {
            let _inner = info_span!(target: "untraced", "inner", inner = true).entered();
            info!("x");
            info!("again");
        });
        ids(&outer)
    });
    let lines = logs.lines();
    assert!(
        lines
            .iter()
            .all(|line| ids_of(line) == outer && line["inner"] == true)
    );
}

#[test]
fn ids_named_in_fields_win() {
    let (provider, _exporter) = provider(Sampler::AlwaysOn);
    let logs = logs(&provider, "info");
    let line = logs.line(|| {
        let _span = info_span!("request", trace_id = 1_u128, span_id = 2_u64).entered();
        info!("x");
    });
    assert_eq!(line["span_id"], "0000000000000002");
}

#[test]
fn a_value_that_logs_while_it_is_computed_loses_nothing() {
    let (provider, exporter) = provider(Sampler::AlwaysOn);
    let logs = logs(&provider, "info");
    let computed = |number: u64| {
        debug!("hidden");
        info!("inner");
        number
    };
    logs.run(|| {
        let _span = info_span!("request").entered();
        info!(value = computed(7), "outer");
        info!("after");
    });
    let lines = logs.lines();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["inner", "outer", "after"]);
    assert_eq!(lines[1]["value"], 7);
    assert_eq!(exporter.get_finished_spans().unwrap().len(), 1);
}

#[test]
fn an_event_in_a_sampled_span_allocates_nothing() {
    let (provider, _exporter) = provider(Sampler::AlwaysOn);
    let builder = cqi_log::builder().with(traces(&provider));
    assert_eq!(allocations::of_events(builder, &config("info")), 0);
}

#[test]
fn an_event_under_a_hidden_span_allocates_nothing() {
    let (provider, _exporter) = provider(Sampler::AlwaysOn);
    let logs = cqi_log::builder()
        .with(traces(&provider))
        .writer(std::io::sink());
    let (dispatch, _guard) = logs
        .build(&config("info"), &crate::logs::service())
        .unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        let _hidden = debug_span!("hidden").entered();
        info!("warm");
        assert_eq!(allocation_counter::measure(|| info!("x")).count_total, 0);
    });
}
