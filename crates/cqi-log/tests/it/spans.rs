//! Fields that spans give to the lines inside them.

use expect_test::expect;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, debug_span, error, info, info_span};

use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Identity;

use crate::logs::{Logs, undated};

fn after_target(logs: &Logs) -> String {
    let text = undated(&logs.text());
    let rest = |line: &str| line.split_once("\"target\":").unwrap().1.to_owned() + "\n";
    text.lines().map(rest).collect()
}

#[test]
fn fields_come_from_the_outermost_span_in() {
    let logs = Logs::new();
    logs.run(|| {
        let _a = info_span!("a", a = 1).entered();
        let _b = info_span!("b").entered();
        let _c = info_span!("c", c = 3, cc = "x").entered();
        info!(d = 4, "inside");
    });
    expect![[r#"
        "it::spans","a":1,"c":3,"cc":"x","d":4}
    "#]]
    .assert_eq(&after_target(&logs));
}

#[test]
fn a_recorded_value_replaces_the_one_before() {
    let logs = Logs::new();
    logs.run(|| {
        let span = info_span!(
            "request",
            status = tracing::field::Empty,
            path = "/",
            size = 1
        );
        let _entered = span.enter();
        info!("none yet");
        span.record("status", 200);
        info!("recorded");
        for size in 0..1000 {
            span.record("size", size);
        }
        span.record("status", 500);
        info!("replaced");
    });
    expect![[r#"
        "it::spans","path":"/","size":1}
        "it::spans","path":"/","size":1,"status":200}
        "it::spans","path":"/","size":999,"status":500}
    "#]]
    .assert_eq(&after_target(&logs));
}

#[test]
fn an_explicit_parent_is_the_scope() {
    let logs = Logs::new();
    logs.run(|| {
        let elsewhere = info_span!("elsewhere", elsewhere = true);
        let _here = info_span!("here", here = true).entered();
        info!(parent: &elsewhere, "x");
        info!(parent: None, "x");
    });
    expect![[r#"
        "it::spans","elsewhere":true}
        "it::spans"}
    "#]]
    .assert_eq(&after_target(&logs));
}

#[test]
fn an_error_keeps_the_spans_that_its_level_would_hide() {
    let logs = Logs::at("error");
    logs.run(|| {
        let _request = info_span!("request", user = "ada").entered();
        let _detail = debug_span!("detail", detail = true).entered();
        info!("hidden");
        error!("shown");
    });
    expect![[r#"
        "it::spans","user":"ada"}
    "#]]
    .assert_eq(&after_target(&logs));
}

#[test]
fn an_event_under_a_hidden_parent_keeps_the_spans_around_that() {
    // Other layers that see all spans, so that the hidden one exists.
    let everything = Identity::new();
    let all_levels = Identity::new().with_filter(LevelFilter::TRACE);
    for builder in [
        cqi_log::builder().with(everything),
        cqi_log::builder().with(all_levels),
    ] {
        let logs = Logs::with(builder, &crate::logs::config("info"));
        logs.run(|| {
            let request = info_span!("request", user = "ada");
            let hidden = request.in_scope(|| debug_span!("hidden", hidden = true));
            assert!(!hidden.is_disabled());
            hidden.record("hidden", false);
            info!(parent: &hidden, "x");
            hidden.in_scope(|| debug!("hidden"));
            hidden.in_scope(|| info!("x"));
            let _deeper = hidden.in_scope(|| debug_span!("deeper").entered());
            let _inner = info_span!("inner", inner = true).entered();
            info!("x");
        });
        expect![[r#"
            "it::spans","user":"ada"}
            "it::spans","user":"ada"}
            "it::spans","user":"ada","inner":true}
        "#]]
        .assert_eq(&after_target(&logs));
    }
}

#[test]
fn off_hides_spans_as_well() {
    let logs = Logs::at("off");
    logs.run(|| {
        assert!(info_span!("request").is_disabled());
        error!("hidden");
    });
    assert_eq!(logs.text(), "");
}

#[test]
fn spans_named_in_fields_give_the_trace() {
    let logs = Logs::new();
    logs.run(|| {
        let root = info_span!(
            "root",
            trace_id = 0xabc_u128,
            span_id = 0xd_u64,
            user = "ada"
        );
        let _root = root.enter();
        let _child = info_span!("child").entered();
        info!("inside");
        info!(parent: None, "outside");
        root.record("trace_id", 7_u64);
        info!("a number of another width is a field");
    });
    let lines = logs.lines();
    assert_eq!(lines[0]["trace_id"], "00000000000000000000000000000abc");
    assert_eq!(lines[0]["span_id"], "000000000000000d");
    assert!(lines[1].get("trace_id").is_none());
    assert_eq!(lines[2]["trace_id"], "00000000000000000000000000000abc");
    assert_eq!(lines[2]["field.trace_id"], 7);
}

#[test]
fn ids_recorded_late_are_used_from_then_on() {
    let logs = Logs::new();
    logs.run(|| {
        let empty = tracing::field::Empty;
        let span = info_span!("root", trace_id = empty, span_id = empty);
        let _entered = span.enter();
        info!("before");
        tracing::record_all!(span, trace_id = 1_u128, span_id = 2_u64);
        info!("after");
    });
    let lines = logs.lines();
    assert!(lines[0].get("trace_id").is_none());
    assert_eq!(lines[1]["span_id"], "0000000000000002");
}

#[test]
fn a_span_moves_between_threads() {
    let logs = Logs::new();
    let span = logs.run(|| info_span!("request", user = "ada"));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| logs.run(|| span.in_scope(|| info!("x"))));
        }
    });
    let lines = logs.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["user"] == "ada"));
    logs.run(|| assert!(Span::current().is_none()));
}
