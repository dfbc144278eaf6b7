//! Requests that are recorded and those that are not, with what is inside of them.

use std::time::Duration;

use cqi_config::{LogConfig, ServiceConfig, TracingConfig};
use cqi_log::testing::Capture;
use tracing::{Instrument as _, debug_span, info, info_span};

use super::*;
use crate::Tracing;
use crate::spans::{self, SAMPLED, UNSAMPLED};
use crate::testing::{Collector, ReceivedSpan};

struct Service {
    tracing: Tracing,
    collector: Collector,
    logs: Capture,
}

impl Service {
    fn new(change: impl FnOnce(&mut TracingConfig)) -> Self {
        Self::at("info", change)
    }

    fn at(level: &str, change: impl FnOnce(&mut TracingConfig)) -> Self {
        let collector = Collector::start().unwrap();
        let mut config = collector.config();
        config.queue_size = 20_000;
        change(&mut config);
        let tracing = Tracing::init(&config, &ServiceConfig::default()).unwrap();
        let level = level.to_owned();
        let log = LogConfig {
            level,
            ..LogConfig::default()
        };
        let builder = cqi_log::builder().with(tracing.layer());
        let logs = Capture::new(builder, &log, &ServiceConfig::default()).unwrap();
        Self {
            tracing,
            collector,
            logs,
        }
    }

    /// Opens the span of a request, as a layer does.
    fn request(&self, parent: Option<&TraceContext>) -> (Span, Decision) {
        let decision = self.tracing.decide(parent);
        let ids = decision.context.ids();
        let span = if decision.recorded {
            let span = info_span!(target: SAMPLED, parent: None, "request", request_id = "r");
            start(&span, &decision, parent);
            span
        } else {
            let span = info_span!(
                target: UNSAMPLED,
                parent: None,
                "request",
                trace_id = ids.trace_id,
                span_id = ids.span_id,
                request_id = "r",
            );
            spans::keep(&span, decision.context.clone());
            span
        };
        (span, decision)
    }

    fn end(&self) -> Vec<ReceivedSpan> {
        self.tracing.shutdown(Duration::from_secs(5)).unwrap();
        assert_eq!(self.tracing.stats().dropped, 0);
        self.collector.spans()
    }
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
    crate::extract(&headers).unwrap()
}

fn hex(ids: TraceIds) -> (String, String) {
    (
        format!("{:032x}", ids.trace_id),
        format!("{:016x}", ids.span_id),
    )
}

#[test]
fn the_ids_decided_are_those_exported_and_logged() {
    let service = Service::new(|_| ());
    for parent in [None, Some(caller(true))] {
        let (span, decision) = service.request(parent.as_ref());
        assert!(decision.recorded);
        let ids = decision.context.ids();
        span.in_scope(|| {
            info!("a line");
            assert_eq!(spans::current(), Some(decision.context.clone()));
        });
        drop(span);
        let spans = service
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
        let line = service.logs.lines().pop().unwrap();
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
        let service = Service::new(|config| config.sample_ratio = ratio);
        for (sampled, parent) in [(true, caller(true)), (false, caller(false))] {
            let (span, decision) = service.request(Some(&parent));
            assert_eq!(decision.recorded, sampled);
            let ids = decision.context.ids();
            assert_eq!(ids.sampled, sampled);
            assert_eq!(ids.trace_id, parent.ids().trace_id);
            assert_ne!(ids.span_id, parent.ids().span_id);
            span.in_scope(|| drop(info_span!(target: "app", "nested")));
        }
        let spans = service.end();
        assert_eq!(spans.len(), 2, "ratio {ratio}");
    }
}

#[test]
fn what_is_inside_of_an_unrecorded_request_is_neither_recorded_nor_counted() {
    let service = Service::new(never);
    let (span, decision) = service.request(None);
    let (trace_id, span_id) = hex(decision.context.ids());
    span.in_scope(|| {
        info_span!(target: "app", "nested", depth = 1).in_scope(|| {
            // Whatever the level hides in between.
            debug_span!(target: "app", "hidden").in_scope(|| {
                info_span!(target: "app", "nested", depth = 2).in_scope(|| info!("a line"));
                debug_span!(target: "cqi_db::query", "query").in_scope(|| {
                    assert_eq!(spans::current(), Some(decision.context.clone()));
                });
            });
        });
    });
    drop(span);
    assert!(service.end().is_empty());
    assert_eq!(service.tracing.stats(), crate::TraceStats::default());
    let line = &service.logs.lines()[0];
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&trace_id.into(), &span_id.into())
    );
    assert_eq!(line["depth"], 2);
    assert_eq!(line["request_id"], "r");
}

#[test]
fn what_is_inside_of_a_recorded_one_is_recorded_at_any_ratio() {
    let service = Service::new(never);
    let (span, decision) = service.request(Some(&caller(true)));
    span.in_scope(|| {
        info_span!(target: "app", "nested").in_scope(|| drop(info_span!(target: "app", "deeper")))
    });
    drop(span);
    let spans = service.end();
    let name = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(spans.len(), 3);
    assert_eq!(
        name("nested").parent_id,
        Some(decision.context.ids().span_id)
    );
    assert_eq!(name("deeper").parent_id, Some(name("nested").span_id));
}

#[test]
fn a_task_carries_its_request() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let service = Service::new(never);
    let work = |decision: Decision| async move {
        tokio::task::yield_now().await;
        assert_eq!(spans::current(), Some(decision.context));
        async { info!("a line") }
            .instrument(info_span!(target: "app", "nested"))
            .await;
    };
    let (unrecorded, first) = service.request(None);
    let (recorded, second) = service.request(Some(&caller(true)));
    runtime.block_on(async {
        tokio::join!(
            work(first.clone()).instrument(unrecorded),
            work(second.clone()).instrument(recorded),
        );
    });
    let spans = service.end();
    assert_eq!(spans.len(), 2);
    let trace_id = second.context.ids().trace_id;
    assert!(spans.iter().all(|span| span.trace_id == trace_id));
    let lines = service.logs.lines();
    let mut logged: Vec<_> = lines.iter().map(|line| line["trace_id"].as_str()).collect();
    let mut known = [first, second].map(|decision| hex(decision.context.ids()).0);
    logged.sort_unstable();
    known.sort_unstable();
    assert_eq!(logged, known.each_ref().map(|id| Some(id.as_str())));
}

#[test]
fn a_recorded_request_inside_of_an_unrecorded_one_is_recorded_and_the_other_way_round() {
    let service = Service::new(never);
    let (outer, _) = service.request(None);
    outer.in_scope(|| {
        let (inner, decision) = service.request(Some(&caller(true)));
        inner.in_scope(|| {
            drop(info_span!(target: "app", "recorded"));
            let (innermost, _) = service.request(Some(&caller(false)));
            innermost.in_scope(|| drop(info_span!(target: "app", "unrecorded")));
            assert_eq!(spans::current(), Some(decision.context));
        });
        drop(info_span!(target: "app", "unrecorded"));
    });
    let mut names: Vec<_> = service.end().into_iter().map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["recorded", "request"]);
}

#[test]
fn roots_are_recorded_by_the_ratio_and_the_sampler_agrees() {
    let service = Service::new(|config| config.sample_ratio = 0.1);
    let mut recorded = 0;
    for _ in 0..5_000 {
        let (span, decision) = service.request(None);
        recorded += usize::from(decision.recorded);
        span.in_scope(|| drop(info_span!(target: "app", "nested")));
    }
    // Five standard deviations.
    assert!((394..=606).contains(&recorded), "{recorded}");
    assert_eq!(service.end().len(), recorded * 2);
}

/// Trap: a filter does not see attributes, so a span whose parent is given by hand passes while that
/// parent is not entered, and is a root of its own. Enter the span, or carry it with the task.
#[test]
fn a_child_by_hand_of_an_unrecorded_request_is_a_root_unless_that_is_entered() {
    let service = Service::new(|config| config.sample_ratio = 1.0);
    let (request, _) = service.request(Some(&caller(false)));
    drop(info_span!(target: "app", parent: &request, "beside"));
    request.in_scope(|| drop(info_span!(target: "app", parent: &request, "inside")));
    let spans = service.end();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "beside");
    assert_eq!(spans[0].parent_id, None);
}

/// Trap: only a request starts anew inside of an unrecorded one.
#[test]
fn a_root_by_hand_inside_of_an_unrecorded_request_is_not_recorded() {
    let service = Service::new(|config| config.sample_ratio = 1.0);
    let (request, _) = service.request(Some(&caller(false)));
    request.in_scope(|| drop(info_span!(target: "app", parent: None, "root")));
    assert!(service.end().is_empty());
}

#[test]
fn spans_of_an_unrecorded_request_have_its_ids_and_no_own() {
    let service = Service::new(never);
    let (request, decision) = service.request(None);
    request.in_scope(|| {
        let nested = info_span!(target: "app", "nested");
        nested.in_scope(|| info!("a line"));
    });
    let line = &service.logs.lines()[0];
    assert_eq!(line["span_id"], hex(decision.context.ids()).1);
}

#[test]
fn no_level_of_the_log_takes_the_ids_away() {
    for level in ["off", "error", "trace"] {
        for parent in [None, Some(caller(true)), Some(caller(false))] {
            let service = Service::at(level, never);
            let (request, decision) = service.request(parent.as_ref());
            request.in_scope(|| {
                debug_span!(target: "app", "hidden").in_scope(|| {
                    assert_eq!(spans::current(), Some(decision.context.clone()), "{level}");
                });
            });
        }
    }
}

#[test]
fn a_global_filter_that_hides_requests_takes_all_away() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let service = Service::new(|_| ());
    let subscriber = tracing_subscriber::registry()
        .with(service.tracing.layer())
        .with(tracing::level_filters::LevelFilter::ERROR);
    tracing::subscriber::with_default(subscriber, || {
        for parent in [None, Some(caller(true)), Some(caller(false))] {
            let (request, _) = service.request(parent.as_ref());
            assert!(request.is_disabled());
            request.in_scope(|| assert_eq!(spans::current(), None));
        }
    });
    assert!(service.end().is_empty());
}

#[test]
fn where_tracing_is_off_a_callers_trace_goes_through_as_it_came() {
    let service = Service::new(|config| config.enabled = false);
    for parent in [caller(true), caller(false)] {
        let (request, decision) = service.request(Some(&parent));
        assert!(!decision.recorded);
        request.in_scope(|| {
            assert_eq!(spans::current(), Some(parent.clone()));
            info!("a line");
        });
        let line = service.logs.lines().pop().unwrap();
        assert_eq!(line["trace_id"], hex(parent.ids()).0);
    }
    let (request, decision) = service.request(None);
    assert!(!decision.context.ids().sampled);
    request.in_scope(|| assert_eq!(spans::current(), Some(decision.context)));
    assert!(service.end().is_empty());
}

#[test]
fn outside_of_spans_there_is_nothing_to_hand_on() {
    assert_eq!(spans::current(), None);
    let service = Service::new(|_| ());
    assert_eq!(spans::current(), None);
    info_span!(target: "app", "job").in_scope(|| {
        let context = spans::current().unwrap();
        assert!(context.ids().sampled);
    });
    service.end();
}

#[test]
fn a_decision_allocates_nothing_and_an_unrecorded_request_once() {
    let service = Service::at("off", never);
    let parent = caller(false);
    let allocations = |run: &dyn Fn()| allocation_counter::measure(run).count_total;
    assert_eq!(allocations(&|| drop(service.tracing.decide(None))), 0);
    assert_eq!(
        allocations(&|| drop(service.tracing.decide(Some(&parent)))),
        0
    );
    let request = || {
        service
            .request(None)
            .0
            .in_scope(|| drop(info_span!(target: "app", "nested")))
    };
    request();
    assert_eq!(allocations(&request), 1);
}
