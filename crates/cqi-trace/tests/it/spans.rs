//! Which spans outside of requests are recorded.

use cqi_tower::TraceIds;
use cqi_trace::TraceContext;
use cqi_trace::testing::SpanStatus;
use tracing::{Instrument as _, Level, debug_span, event_enabled, info, info_span, span_enabled};

use crate::traces::{SOON, Traces, logs, named};

#[test]
fn a_ratio_of_roots_is_recorded_with_all_below_them() {
    let traces = Traces::with(|config| {
        config.sample_ratio = 0.25;
        config.queue_size = 10_000;
    });
    for _ in 0..2_000 {
        info_span!("root").in_scope(|| drop(info_span!("inner")));
    }
    let spans = traces.end();
    let roots: Vec<_> = spans
        .iter()
        .filter(|span| span.parent_id.is_none())
        .collect();
    assert_eq!(spans.len(), roots.len() * 2);
    // Five standard deviations.
    assert!((403..=597).contains(&roots.len()), "{}", roots.len());
    for span in &spans {
        let root = roots.iter().find(|root| root.trace_id == span.trace_id);
        assert!(root.is_some());
    }
}

#[test]
fn none_and_all_are_ratios_too() {
    for (ratio, count) in [(0.0, 0), (1.0, 100)] {
        let traces = Traces::with(|config| config.sample_ratio = ratio);
        for _ in 0..100 {
            drop(info_span!("x"));
        }
        assert_eq!(traces.end().len(), count);
        assert_eq!(traces.tracing.stats().exported, count as u64);
        assert_eq!(traces.tracing.stats().dropped, 0);
    }
}

#[test]
fn an_unrecorded_root_still_has_ids_in_the_log() {
    let traces = Traces::with(|config| config.sample_ratio = 0.0);
    info_span!("x").in_scope(|| info!("a line"));
    let line = &traces.logs.lines()[0];
    assert_eq!(line["trace_id"].as_str().map(str::len), Some(32));
}

/// Spans that are hidden by their level take nothing away from those inside of them.
#[test]
fn a_span_below_a_hidden_one_is_recorded() {
    let traces = Traces::new();
    info_span!("outer").in_scope(|| {
        debug_span!("hidden").in_scope(|| {
            info_span!("inner").in_scope(|| ());
            let _ours = debug_span!(target: "cqi_db::query", "query");
            let _ours = tracing::trace_span!(target: "cqi_db::query", "too fine");
        });
    });
    let spans = traces.end();
    assert_eq!(spans.len(), 3);
    let outer = named(&spans, "outer");
    for name in ["inner", "query"] {
        let inner = named(&spans, name);
        assert_eq!(inner.trace_id, outer.trace_id);
        assert_eq!(inner.parent_id, Some(outer.span_id));
    }
}

#[test]
fn the_level_of_the_log_does_not_matter() {
    for level in ["off", "error", "trace"] {
        let collector = cqi_trace::testing::Collector::start().unwrap();
        let config = collector.config();
        let tracing = cqi_trace::Tracing::init(&config, &crate::traces::service()).unwrap();
        let _logs = logs(&tracing, level);
        info_span!("outer").in_scope(|| drop(info_span!("inner")));
        tracing.shutdown(SOON).unwrap();
        assert_eq!(collector.spans().len(), 2, "{level}");
    }
}

#[test]
fn a_level_that_changes_loses_no_span_and_no_id() {
    let traces = Traces::with(|config| config.sample_ratio = 0.0);
    let producer = TraceContext::new(TraceIds {
        trace_id: 1,
        span_id: 2,
        sampled: true,
    });
    for sampled in [true, false] {
        let producer = producer.as_ref().filter(|_| sampled);
        let span = traces.tracing.consumer_span("request", producer);
        span.in_scope(|| {
            let context = TraceContext::current();
            assert!(context.is_some());
            for level in ["off", "trace", "error", "info"] {
                traces.logs.guard().set_level(level).unwrap();
                debug_span!("hidden").in_scope(|| {
                    info_span!("inner").in_scope(|| {
                        let inner = TraceContext::current().unwrap();
                        let same = context.as_ref() == Some(&inner);
                        assert_eq!((inner.ids().sampled, same), (sampled, !sampled), "{level}");
                    });
                });
            }
        });
    }
    assert_eq!(traces.end().len(), 5);
}

/// A mere question must not leave an answer behind that the next line or span finds.
#[test]
fn questions_lose_no_line_and_no_span() {
    let traces = Traces::new();
    for _ in 0..3 {
        assert!(event_enabled!(Level::INFO));
        drop(info_span!("span"));
        assert!(span_enabled!(Level::INFO));
        info!("line");
        assert!(!event_enabled!(Level::TRACE));
        drop(info_span!("span"));
        assert!(span_enabled!(target: "cqi_db::query", Level::DEBUG));
        info!("line");
        drop(debug_span!("hidden"));
        drop(info_span!("span"));
        info!("line");
    }
    assert_eq!(traces.end().len(), 9);
    assert_eq!(traces.logs.lines().len(), 9);
}

#[test]
fn a_span_follows_its_task() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let traces = Traces::new();
    runtime.block_on(async {
        let one = async {
            tokio::task::yield_now().await;
            drop(info_span!("in one"));
        };
        let two = async {
            tokio::task::yield_now().await;
            drop(info_span!("in two"));
        };
        tokio::join!(
            one.instrument(info_span!("one")),
            two.instrument(info_span!("two"))
        );
    });
    let spans = traces.end();
    assert_eq!(spans.len(), 4);
    for (inner, outer) in [("in one", "one"), ("in two", "two")] {
        let (inner, outer) = (named(&spans, inner), named(&spans, outer));
        assert_eq!(inner.parent_id, Some(outer.span_id));
        assert_eq!(outer.status, SpanStatus::Unset);
    }
    assert_ne!(named(&spans, "one").trace_id, named(&spans, "two").trace_id);
}

#[test]
fn parents_may_be_given_and_links_are_kept() {
    let traces = Traces::new();
    let outer = info_span!("outer");
    let inner = info_span!(parent: &outer, "inner");
    let alone = outer.in_scope(|| info_span!(parent: None, "alone"));
    alone.follows_from(&outer);
    drop((inner, alone, outer));
    let spans = traces.end();
    let outer = named(&spans, "outer");
    assert_eq!(named(&spans, "inner").parent_id, Some(outer.span_id));
    let alone = named(&spans, "alone");
    assert_eq!(alone.parent_id, None);
    assert_eq!(alone.links, [(outer.trace_id, outer.span_id)]);
}

#[test]
fn several_subscribers_share_one_export() {
    let traces = Traces::new();
    info_span!("one").in_scope(|| {
        let _other = logs(&traces.tracing, "info");
        drop(info_span!("two"));
    });
    let spans = traces.end();
    assert_eq!(spans.len(), 2);
    assert_eq!(named(&spans, "two").parent_id, None);
}
