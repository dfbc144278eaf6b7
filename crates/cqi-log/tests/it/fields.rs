//! Keys and values of one event.

use std::error::Error;
use std::fmt;

use cqi_config::{LogConfig, LogFormat};
use cqi_errors::ResultExt as _;
use expect_test::expect;
use proptest::prelude::*;
use serde_json::{Value, json};
use tracing::{error, info, info_span};

use crate::logs::{Logs, config, undated};

#[test]
fn keys_come_in_their_order() {
    let logs = Logs::new();
    logs.run(|| {
        let span = info_span!(
            "request",
            method = "GET",
            trace_id = 1_u128,
            span_id = 2_u64
        );
        span.in_scope(|| info!(target: "cqi_db::pool", size = 8, idle = true, "connected"));
    });
    expect![[r#"
        {"timestamp":"<timestamp>","level":"info","service_name":"asset-registry","message":"connected","trace_id":"00000000000000000000000000000001","span_id":"0000000000000002","target":"cqi_db::pool","method":"GET","size":8,"idle":true}
    "#]]
    .assert_eq(&undated(&logs.text()));
}

#[test]
fn values_keep_their_types() {
    let logs = Logs::new();
    let line = logs.line(|| {
        info!(
            signed = -7_i64,
            unsigned = u64::MAX,
            wide = i128::from(i64::MIN),
            wider = u128::MAX,
            float = 0.1,
            not_a_number = f64::NAN,
            infinite = f64::NEG_INFINITY,
            yes = true,
            text = "a \"quoted\" text",
            debug = ?Some("x"),
            display = %format_args!("{}-{}", 1, 2),
            absent = None::<u64>,
            present = Some(3),
            empty = tracing::field::Empty,
        );
    });
    let expected = json!({
        "signed": -7, "unsigned": u64::MAX, "wide": i64::MIN,
        "wider": "340282366920938463463374607431768211455",
        "float": 0.1, "not_a_number": "NaN", "infinite": "-Infinity", "yes": true,
        "text": "a \"quoted\" text", "debug": "Some(\"x\")", "display": "1-2", "present": 3,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key}");
    }
    assert!(line.get("absent").is_none() && line.get("empty").is_none());
    assert_eq!(line["message"], "");
}

#[test]
fn each_level_has_its_name() {
    let logs = Logs::at("trace");
    logs.run(|| {
        tracing::error!("");
        tracing::warn!("");
        tracing::info!("");
        tracing::debug!("");
        tracing::trace!("");
    });
    let levels: Vec<_> = logs
        .lines()
        .iter()
        .map(|line| line["level"].clone())
        .collect();
    assert_eq!(levels, ["error", "warn", "info", "debug", "trace"]);
}

#[test]
fn the_last_of_two_fields_of_one_name_wins() {
    let logs = Logs::new();
    logs.run(|| {
        info!(
            first = 1,
            twice = "old",
            middle = 2,
            twice = "new",
            last = 3,
            "x"
        );
    });
    let text = logs.text();
    assert!(
        text.ends_with("\"first\":1,\"middle\":2,\"twice\":\"new\",\"last\":3}\n"),
        "{text}"
    );
}

#[test]
fn an_event_wins_over_spans_and_an_inner_span_over_an_outer() {
    let logs = Logs::new();
    logs.run(|| {
        let _outer = info_span!("outer", a = "outer", b = "outer", c = "outer").entered();
        let _inner = info_span!("inner", b = "inner", c = "inner").entered();
        info!(c = "event", "x");
    });
    let text = logs.text();
    assert!(
        text.ends_with("\"a\":\"outer\",\"b\":\"inner\",\"c\":\"event\"}\n"),
        "{text}"
    );
}

#[test]
fn an_empty_field_of_an_event_hides_nothing() {
    let logs = Logs::new();
    let line = logs.line(|| {
        let _span = info_span!("outer", user = "ada").entered();
        info!(user = None::<&str>, "x");
    });
    assert_eq!(line["user"], "ada");
}

#[test]
fn the_lines_own_keys_cannot_be_taken() {
    let logs = Logs::new();
    let line = logs.line(|| {
        let _span = info_span!("request", message = "from a span", level = 9).entered();
        info!(
            timestamp = "never",
            service_name = "other",
            trace_id = "forged",
            span_id = 3_u64,
            target = "elsewhere",
            "real"
        );
    });
    assert_eq!(line["message"], "real");
    assert_eq!(line["level"], "info");
    assert_eq!(line["service_name"], "asset-registry");
    assert_eq!(line["target"], module_path!());
    assert!(line.get("trace_id").is_none() && line.get("span_id").is_none());
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    for (key, value) in [
        ("field.message", json!("from a span")),
        ("field.level", json!(9)),
        ("field.timestamp", json!("never")),
        ("field.service_name", json!("other")),
        ("field.trace_id", json!("forged")),
        ("field.span_id", json!(3)),
        ("field.target", json!("elsewhere")),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
}

#[test]
fn raw_identifiers_and_quoted_keys_are_valid() {
    let logs = Logs::new();
    let line = logs.line(|| info!(r#type = "limit", "a \"b\"\n" = 1, "x"));
    assert_eq!(line["type"], "limit");
    assert_eq!(line["a \"b\"\n"], 1);
}

#[test]
fn a_message_may_come_as_any_value() {
    let logs = Logs::new();
    assert_eq!(logs.line(|| info!(message = f64::NAN))["message"], "NaN");
    assert_eq!(logs.line(|| info!(message = 5))["message"], "5");
    assert_eq!(
        logs.line(|| info!(message = "it's \"so\""))["message"],
        "it's \"so\""
    );
}

#[derive(Debug)]
struct Verbose(std::io::Error);

impl fmt::Display for Verbose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verbose: {}", self.0)
    }
}

impl Error for Verbose {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn errors_come_with_their_causes_each_once() {
    let logs = Logs::new();
    let refused = || std::io::Error::other("connection \"refused\"");
    let failed = Err::<(), _>(refused()).context("read asset").unwrap_err();
    let failed = failed.context("serve request");
    let line = logs.line(|| error!(error = &failed as &dyn Error, "x"));
    assert_eq!(
        line["error"],
        "serve request: read asset: connection \"refused\""
    );
    let line = logs.line(|| error!(error = &Verbose(refused()) as &dyn Error, "x"));
    assert_eq!(line["error"], "verbose: connection \"refused\"");
}

#[test]
fn redacted_keys_show_nothing_in_spans_and_events() {
    for format in ["json", "pretty", "compact"] {
        let config = LogConfig {
            format: match format {
                "pretty" => LogFormat::Pretty,
                "compact" => LogFormat::Compact,
                _ => LogFormat::Json,
            },
            redact: vec!["password".to_owned(), "Set-Cookie".to_owned()],
            ..config("info")
        };
        let logs = Logs::with(cqi_log::builder(), &config);
        logs.run(|| {
            let span = info_span!(
                "login",
                Password = "hunter2",
                user.password = 5,
                late.password = tracing::field::Empty
            );
            span.record("late.password", "hunter2");
            let _span = span.entered();
            info!(set_cookie = ?"hunter2", password = %"hunter2", user = "ada", "x");
        });
        let text = logs.text();
        assert!(!text.contains("hunter2"), "{format}: {text}");
        assert_eq!(
            text.matches("\"[redacted]\"").count(),
            5,
            "{format}: {text}"
        );
        assert!(text.contains("ada"), "{format}: {text}");
    }
}

#[test]
fn loggers_of_one_thread_keep_their_own_redaction_and_format() {
    let with = |redact: &[&str], format| {
        let redact = redact.iter().map(|&key| key.to_owned()).collect();
        let config = LogConfig {
            redact,
            format,
            ..config("info")
        };
        Logs::with(cqi_log::builder(), &config)
    };
    let loggers = [
        with(&[], LogFormat::Json),
        with(&["pin"], LogFormat::Json),
        with(&[], LogFormat::Compact),
    ];
    for logs in loggers.iter().chain(&loggers) {
        logs.run(|| info!(pin = 1234, "x"));
    }
    for (logs, expected) in
        loggers
            .iter()
            .zip(["\"pin\":1234}", "\"pin\":\"[redacted]\"}", "pin=1234"])
    {
        let text = logs.text();
        assert!(text.lines().all(|line| line.ends_with(expected)), "{text}");
    }
}

#[test]
fn a_megabyte_is_one_line_and_more_is_cut() {
    let logs = Logs::new();
    let megabyte = "\"\n\u{0}é".repeat(1024 * 1024 / 5);
    let line = logs.line(|| info!(value = megabyte, shown = ?megabyte, "{megabyte}"));
    assert_eq!(line["value"], megabyte);
    assert_eq!(line["message"], megabyte);
    let debug = line["shown"].as_str().unwrap();
    assert!(debug.len() <= 1024 * 1024 + 20 && debug.ends_with("…[truncated]"));
    let huge = "x".repeat(3 * 1024 * 1024);
    let line = logs.line(|| info!("{huge}"));
    assert_eq!(
        line["message"].as_str().unwrap().len(),
        1024 * 1024 + "…[truncated]".len()
    );
}

/// A value whose `Debug` goes wrong in the middle.
struct Failing;

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half \"")?;
        Err(fmt::Error)
    }
}

#[test]
fn a_debug_that_fails_leaves_a_valid_line() {
    let line = Logs::new().line(|| info!(failing = ?Failing, after = 1, "x {Failing:?}"));
    assert_eq!(line["message"], "x half \"…[error]");
    assert_eq!(line["failing"], "half \"…[error]");
    assert_eq!(line["after"], 1);
}

struct Panicking;

impl fmt::Debug for Panicking {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in Debug");
    }
}

#[test]
fn a_debug_that_panics_takes_only_its_own_line() {
    let logs = Logs::new();
    logs.run(|| {
        let span = info_span!("request", state = tracing::field::Empty, user = "ada");
        let _entered = span.enter();
        let panics = |log: fn()| assert!(std::panic::catch_unwind(log).is_err());
        panics(|| info!(value = ?Panicking, "lost"));
        panics(|| drop(info_span!("never", value = ?Panicking)));
        panics(|| {
            let _ = tracing::Span::current().record("state", tracing::field::debug(Panicking));
        });
        info!("after");
        span.record("state", "recorded");
        info!("later");
    });
    let lines = logs.lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["message"], "after");
    assert_eq!(lines[0]["user"], "ada");
    assert_eq!(lines[1]["lines_lost"], 1);
    assert_eq!(lines[2]["state"], "recorded");
    let stats = logs.guard.stats();
    assert_eq!((stats.lines_written, stats.lines_lost), (3, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_text_anywhere_stays_one_json_line(
        text in prop_oneof![any::<String>(), "[\u{0}-\u{22}\\\\\u{7e}-\u{a1}\u{2027}-\u{202a}]{0,60}"],
        span in any::<String>(),
        number in any::<f64>(),
    ) {
        let logs = Logs::new();
        let line = logs.line(|| {
            let _span = info_span!("hostile", span, shadowed = %text).entered();
            info!(text, shadowed = ?span, number, "{text}");
        });
        prop_assert_eq!(&line["message"], &text);
        prop_assert_eq!(&line["text"], &text);
        prop_assert_eq!(&line["span"], &span);
        prop_assert_eq!(&line["shadowed"], &format!("{span:?}"));
        prop_assert_eq!(line["number"].is_number(), number.is_finite());
        let raw = logs.text();
        let steers = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        prop_assert!(!raw.trim_end_matches('\n').contains(steers));
        let keys = raw.matches("\"shadowed\":").count();
        prop_assert!(keys >= 1);
        let Value::Object(object) = line else { unreachable!() };
        prop_assert_eq!(object.len(), 9);
    }
}
