//! Requests that are recorded and those that are not, with what is inside of them.

use cqi_config::TracingConfig;
use cqi_tower::TraceIds;
use cqi_trace::{TraceContext, TraceStats};
use tracing::{Instrument as _, Span, debug_span, info, info_span};

use crate::traces::Traces;

/// Opens the span of a request, as the layers do.
fn request(traces: &Traces, parent: Option<&TraceContext>) -> (Span, TraceContext) {
    let span = traces.tracing.consumer_span("request", parent);
    let context = span.in_scope(|| TraceContext::current().unwrap());
    (span, context)
}

fn never(config: &mut TracingConfig) {
    config.sample_ratio = 0.0;
}

fn caller(sampled: bool) -> TraceContext {
    let mut headers = http::HeaderMap::new();
    let flag = if sampled { "01" } else { "00" };
    let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flag}");
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("tracestate", "congo=t61rcWkgMzE".parse().unwrap());
    cqi_trace::extract(&headers).unwrap()
}

fn hex(ids: TraceIds) -> (String, String) {
    (
        format!("{:032x}", ids.trace_id),
        format!("{:016x}", ids.span_id),
    )
}

#[test]
fn the_ids_decided_are_those_exported_and_logged() {
    let traces = Traces::new();
    for parent in [None, Some(caller(true))] {
        let (span, context) = request(&traces, parent.as_ref());
        assert!(context.ids().sampled);
        let ids = context.ids();
        span.in_scope(|| {
            info!("a line");
            assert_eq!(TraceContext::current(), Some(context.clone()));
        });
        drop(span);
        let spans = traces
            .collector
            .wait_for(|spans| spans.iter().any(|span| span.span_id == ids.span_id));
        let span = spans.last().unwrap();
        assert_eq!(span.trace_id, ids.trace_id);
        assert_eq!(
            span.parent_id,
            parent.as_ref().map(|parent| parent.ids().span_id)
        );
        assert_eq!(span.parent_is_remote, parent.is_some());
        let state = parent.as_ref().and_then(TraceContext::state);
        assert_eq!(span.trace_state, state.unwrap_or_default());
        let line = traces.logs.lines().pop().unwrap();
        let (trace_id, span_id) = hex(ids);
        assert_eq!(
            (&line["trace_id"], &line["span_id"]),
            (&trace_id.into(), &span_id.into())
        );
    }
}

#[test]
fn a_caller_decides() {
    for ratio in [0.0, 1.0] {
        let traces = Traces::with(|config| config.sample_ratio = ratio);
        for (sampled, parent) in [(true, caller(true)), (false, caller(false))] {
            let (span, context) = request(&traces, Some(&parent));
            assert_eq!(context.ids().sampled, sampled);
            let ids = context.ids();
            assert_eq!(ids.trace_id, parent.ids().trace_id);
            assert_ne!(ids.span_id, parent.ids().span_id);
            span.in_scope(|| drop(info_span!("nested")));
        }
        let spans = traces.end();
        assert_eq!(spans.len(), 2, "ratio {ratio}");
    }
}

#[test]
fn what_is_inside_of_an_unrecorded_request_is_neither_recorded_nor_counted() {
    let traces = Traces::with(never);
    let (span, context) = request(&traces, None);
    let (trace_id, span_id) = hex(context.ids());
    span.in_scope(|| {
        info_span!("nested", depth = 1).in_scope(|| {
            // Whatever the level hides in between.
            debug_span!("hidden").in_scope(|| {
                info_span!("nested", depth = 2).in_scope(|| info!("a line"));
                debug_span!(target: "cqi_db::query", "query").in_scope(|| {
                    assert_eq!(TraceContext::current(), Some(context.clone()));
                });
            });
        });
    });
    drop(span);
    assert!(traces.end().is_empty());
    assert_eq!(traces.tracing.stats(), TraceStats::default());
    let line = &traces.logs.lines()[0];
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&trace_id.into(), &span_id.into())
    );
    assert_eq!(line["depth"], 2);
}

#[test]
fn what_is_inside_of_a_recorded_one_is_recorded_at_any_ratio() {
    let traces = Traces::with(never);
    let (span, context) = request(&traces, Some(&caller(true)));
    span.in_scope(|| info_span!("nested").in_scope(|| drop(info_span!("deeper"))));
    drop(span);
    let spans = traces.end();
    let name = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(spans.len(), 3);
    assert_eq!(name("nested").parent_id, Some(context.ids().span_id));
    assert_eq!(name("deeper").parent_id, Some(name("nested").span_id));
}

#[test]
fn a_task_carries_its_request() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let traces = Traces::with(never);
    let work = |context: TraceContext| async move {
        tokio::task::yield_now().await;
        assert_eq!(TraceContext::current(), Some(context));
        async { info!("a line") }
            .instrument(info_span!("nested"))
            .await;
    };
    let (unrecorded, first) = request(&traces, None);
    let (recorded, second) = request(&traces, Some(&caller(true)));
    runtime.block_on(async {
        tokio::join!(
            work(first.clone()).instrument(unrecorded),
            work(second.clone()).instrument(recorded),
        );
    });
    let spans = traces.end();
    assert_eq!(spans.len(), 2);
    let trace_id = second.ids().trace_id;
    assert!(spans.iter().all(|span| span.trace_id == trace_id));
    let lines = traces.logs.lines();
    let mut logged: Vec<_> = lines.iter().map(|line| line["trace_id"].as_str()).collect();
    let mut known = [first, second].map(|context| hex(context.ids()).0);
    logged.sort_unstable();
    known.sort_unstable();
    assert_eq!(logged, known.each_ref().map(|id| Some(id.as_str())));
}

#[test]
fn a_recorded_request_inside_of_an_unrecorded_one_is_recorded_and_the_other_way_round() {
    let traces = Traces::with(never);
    let (outer, _) = request(&traces, None);
    outer.in_scope(|| {
        let (inner, context) = request(&traces, Some(&caller(true)));
        inner.in_scope(|| {
            drop(info_span!("recorded"));
            let (innermost, _) = request(&traces, Some(&caller(false)));
            innermost.in_scope(|| drop(info_span!("unrecorded")));
            assert_eq!(TraceContext::current(), Some(context));
        });
        drop(info_span!("unrecorded"));
    });
    let mut names: Vec<_> = traces.end().into_iter().map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["recorded", "request"]);
}

#[test]
fn roots_are_recorded_by_the_ratio_and_the_sampler_agrees() {
    let traces = Traces::with(|config| {
        config.sample_ratio = 0.1;
        config.queue_size = 20_000;
    });
    let mut recorded = 0;
    for _ in 0..5_000 {
        let (span, context) = request(&traces, None);
        recorded += usize::from(context.ids().sampled);
        span.in_scope(|| drop(info_span!("nested")));
    }
    // Five standard deviations.
    assert!((394..=606).contains(&recorded), "{recorded}");
    assert_eq!(traces.end().len(), recorded * 2);
}

/// Trap: a filter does not see attributes, so a span whose parent is given by hand passes while that
/// parent is not entered, and is a root of its own. Enter the span, or carry it with the task.
#[test]
fn a_child_by_hand_of_an_unrecorded_request_is_a_root_unless_that_is_entered() {
    let traces = Traces::with(|config| config.sample_ratio = 1.0);
    let (request, _) = request(&traces, Some(&caller(false)));
    drop(info_span!(parent: &request, "beside"));
    request.in_scope(|| drop(info_span!(parent: &request, "inside")));
    let spans = traces.end();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "beside");
    assert_eq!(spans[0].parent_id, None);
}

/// Trap: only a request starts anew inside of an unrecorded one.
#[test]
fn a_root_by_hand_inside_of_an_unrecorded_request_is_not_recorded() {
    let traces = Traces::with(|config| config.sample_ratio = 1.0);
    let (request, _) = request(&traces, Some(&caller(false)));
    request.in_scope(|| drop(info_span!(parent: None, "root")));
    assert!(traces.end().is_empty());
}

#[test]
fn spans_of_an_unrecorded_request_have_its_ids_and_no_own() {
    let traces = Traces::with(never);
    let (request, context) = request(&traces, None);
    request.in_scope(|| {
        let nested = info_span!("nested");
        nested.in_scope(|| info!("a line"));
    });
    let line = &traces.logs.lines()[0];
    assert_eq!(line["span_id"], hex(context.ids()).1);
}

#[test]
fn no_level_of_the_log_takes_the_ids_away() {
    for level in ["off", "error", "trace"] {
        for parent in [None, Some(caller(true)), Some(caller(false))] {
            let traces = Traces::at(level, never);
            let (request, context) = request(&traces, parent.as_ref());
            request.in_scope(|| {
                debug_span!("hidden").in_scope(|| {
                    assert_eq!(TraceContext::current(), Some(context.clone()), "{level}");
                });
            });
        }
    }
}

#[test]
fn a_global_filter_that_hides_requests_takes_all_away() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let traces = Traces::new();
    let subscriber = tracing_subscriber::registry()
        .with(traces.tracing.layer())
        .with(tracing::level_filters::LevelFilter::ERROR);
    tracing::subscriber::with_default(subscriber, || {
        for parent in [None, Some(caller(true)), Some(caller(false))] {
            let span = traces.tracing.consumer_span("request", parent.as_ref());
            assert!(span.is_disabled());
            span.in_scope(|| assert_eq!(TraceContext::current(), None));
        }
    });
    assert!(traces.end().is_empty());
}

#[test]
fn where_tracing_is_off_a_callers_trace_goes_through_as_it_came() {
    let traces = Traces::with(|config| config.enabled = false);
    for parent in [caller(true), caller(false)] {
        let (request, context) = request(&traces, Some(&parent));
        assert_eq!(context, parent);
        request.in_scope(|| info!("a line"));
        let line = traces.logs.lines().pop().unwrap();
        assert_eq!(line["trace_id"], hex(parent.ids()).0);
    }
    let (_, context) = request(&traces, None);
    assert!(!context.ids().sampled);
    assert!(traces.end().is_empty());
}

#[test]
fn outside_of_spans_there_is_nothing_to_hand_on() {
    assert_eq!(TraceContext::current(), None);
    let traces = Traces::new();
    assert_eq!(TraceContext::current(), None);
    info_span!("job").in_scope(|| {
        let context = TraceContext::current().unwrap();
        assert!(context.ids().sampled);
    });
    traces.end();
}

#[test]
fn an_unrecorded_request_allocates_once_and_what_is_inside_of_it_never() {
    // Here the log has no part in it.
    let traces = Traces::at("off", never);
    let request = || {
        let span = traces.tracing.consumer_span("request", None);
        span.in_scope(|| drop(info_span!("nested", rows = 7)));
    };
    request();
    let allocated = allocation_counter::measure(request);
    assert_eq!(allocated.count_total, 1);
}
