//! Which names metrics and labels may have, and what is said of those that may not.

use cqi_config::ServiceConfig;
use cqi_errors::Kind;
use cqi_metrics::{Format, Metrics, Unit};
use proptest::prelude::*;

use crate::{metrics, settings};

fn problem(subsystem: &str, name: &str) -> String {
    let metrics = metrics(&settings());
    let error = metrics
        .gauge(subsystem, name)
        .help("x")
        .register()
        .unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    error.to_string()
}

fn of_service(name: &str) -> cqi_errors::Result<Metrics> {
    Metrics::new(
        &settings(),
        &ServiceConfig {
            name: name.to_owned(),
            ..ServiceConfig::default()
        },
    )
}

#[test]
fn names_that_break_the_rules_are_explained() {
    for (subsystem, name, part) in [
        ("", "depth", "is empty"),
        ("queue", "", "is empty"),
        ("queue", "Depth", "other characters"),
        ("queue", "dépth", "other characters"),
        ("queue", "de-pth", "other characters"),
        ("queue", "de:pth", "other characters"),
        ("queue", "7depth", "does not start with a letter"),
        ("queue", "_depth", "does not start with a letter"),
        ("queue", "de__pth", "no word after it"),
        ("queue_", "depth", "no word after it"),
        ("queue", "depth_total", "keeps for other types"),
        ("queue", "depth_bucket", "keeps for other types"),
        ("queue", "depth_count", "keeps for other types"),
        ("queue", "depth_sum", "keeps for other types"),
        ("queue", "depth_info", "keeps for other types"),
        ("queue", "depth_created", "keeps for other types"),
        ("queue", "wait_seconds", ".unit(Unit::Seconds)"),
        ("queue", "wait_ms", ".unit(Unit::Seconds)"),
        ("queue", "size_bytes", ".unit(Unit::Bytes)"),
        ("queue", "size_kb", ".unit(Unit::Bytes)"),
        ("queue", "full_percent", ".unit(Unit::Ratio)"),
        ("queue", &"x".repeat(200), "longer than 200"),
    ] {
        let problem = problem(subsystem, name);
        assert!(problem.contains(part), "{problem}");
        assert!(problem.contains("metric `service_"), "{problem}");
    }
}

#[test]
fn a_counter_may_count_but_not_say_total() {
    let metrics = metrics(&settings());
    metrics
        .counter("order", "count")
        .help("Orders.")
        .register()
        .unwrap();
    let error = metrics
        .counter("order", "total")
        .help("Orders.")
        .register()
        .unwrap_err();
    assert!(
        error.to_string().contains("each counter gets it"),
        "{error}"
    );
}

#[test]
fn a_metric_needs_a_help() {
    let error = metrics(&settings())
        .gauge("queue", "depth")
        .register()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric `service_queue_depth` has no help: say with `.help(..)` what it tells"
    );
}

#[test]
fn the_name_of_the_service_becomes_a_prefix() {
    for (service, prefix) in [
        ("asset-registry", "asset_registry"),
        ("Pay.Out  v2", "pay_out_v2"),
        ("-x-", "x"),
    ] {
        let metrics = of_service(service).unwrap();
        metrics
            .gauge("queue", "depth")
            .help("x")
            .register()
            .unwrap();
        let text = metrics.render(Format::OpenMetrics);
        assert!(
            text.contains(&format!("\n{prefix}_queue_depth 0.0\n")),
            "{text}"
        );
    }
    for (service, problem) in [
        ("", "a letter"),
        ("服务", "a letter"),
        ("3scale", "a letter"),
        (&"x".repeat(65), "longer than 64"),
    ] {
        let error = of_service(service).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn a_name_belongs_to_the_first_metric_with_it() {
    let metrics = metrics(&settings());
    metrics
        .counter("order", "count")
        .help("x")
        .register()
        .unwrap();
    let error = metrics
        .counter("order", "count")
        .help("x")
        .register()
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let text = error.to_string();
    assert!(
        text.contains("metric `service_order_count_total` of ") && text.contains("names.rs:"),
        "{text}"
    );
    assert!(
        text.contains("the counter `service_order_count_total` of ") && !text.contains("too"),
        "{text}"
    );

    // The histogram's `_count` is the counter's name.
    let error = metrics
        .histogram("order", "value")
        .help("x")
        .register()
        .and_then(|_| {
            metrics
                .counter("order", "value")
                .help("x")
                .label_names(["side"])
                .map(drop)
        });
    assert_eq!(error.unwrap_err().kind(), Kind::Conflict);
    let error = metrics.gauge("order", "count").help("x").register();
    assert!(error.is_err());
    metrics
        .histogram("fill", "price")
        .help("x")
        .register()
        .unwrap();
    let error = metrics
        .counter("fill", "price_count")
        .help("x")
        .register()
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
}

#[test]
fn a_suffix_of_one_may_not_be_the_name_of_another() {
    let metrics = metrics(&settings());
    metrics
        .counter("order", "value_count")
        .help("x")
        .register()
        .unwrap();
    let error = metrics
        .histogram("order", "value")
        .help("x")
        .register()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("which has the name `service_order_value_count` too"),
        "{error}"
    );
}

#[test]
fn labels_that_are_not_allowed_are_explained() {
    let problem = |names| {
        metrics(&settings())
            .gauge("a", "b")
            .help("x")
            .label_names(names)
            .unwrap_err()
            .to_string()
    };
    for (names, part) in [
        (["a", "a"], "two labels `a`"),
        (["a", "le"], "Prometheus' own"),
        (["a", "quantile"], "Prometheus' own"),
        (["__name__", "a"], "Prometheus' own"),
        (["a-b", "a"], "letters, digits"),
        (["1a", "a"], "letters, digits"),
        (["", "a"], "letters, digits"),
    ] {
        assert!(problem(names).contains(part), "{}", problem(names));
    }
    assert!(
        metrics(&settings())
            .gauge("a", "b")
            .help("x")
            .label_names([])
            .is_err()
    );
}

#[test]
fn buckets_that_cannot_be_are_explained() {
    let error = |bounds: &[f64]| {
        let metrics = metrics(&settings());
        let histogram = metrics
            .histogram("a", "b")
            .help("x")
            .buckets(bounds.iter().copied());
        histogram.register().unwrap_err().to_string()
    };
    assert!(error(&[]).contains("1 to 100"));
    assert!(error(&[0.0; 101]).contains("1 to 100"));
    assert!(error(&[1.0, 1.0]).contains("do not rise"));
    assert!(error(&[2.0, 1.0]).contains("do not rise"));
    assert!(error(&[1.0, f64::INFINITY]).contains("not finite"));
    assert!(error(&[f64::NAN]).contains("not finite"));
}

#[test]
fn a_help_keeps_its_line() {
    let metrics = metrics(&settings());
    metrics
        .gauge("a", "b")
        .help("a \\ \"b\"\nc")
        .unit(Unit::Ratio)
        .register()
        .unwrap();
    let text = metrics.render(Format::OpenMetrics);
    assert!(
        text.contains("# HELP service_a_b_ratio a \\\\ \\\"b\\\"\\nc\n"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn what_is_accepted_is_a_name(subsystem in "\\PC{0,8}|[a-z_0-9]{1,12}", name in "\\PC{0,8}|[a-z_0-9]{1,12}") {
        let metrics = metrics(&settings());
        if metrics.gauge(&subsystem, &name).help("x").register().is_ok() {
            let full = format!("service_{subsystem}_{name}");
            let words = full.split('_').all(|word| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            });
            prop_assert!(words, "{}", full);
            let sample = format!("\n{full} 0.0\n");
            prop_assert!(metrics.render(Format::OpenMetrics).contains(&sample));
        }
    }

    #[test]
    fn a_value_is_one_label_whatever_it_holds(value in "\\PC{0,40}|[\\x00-\\x7f]{0,40}|a{100,200}") {
        let metrics = metrics(&settings());
        let family = metrics.gauge("a", "b").help("x").label_names(["value"]).unwrap();
        family.get([&value]).set(7);
        let text = metrics.render(Format::OpenMetrics);
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let shown = if value.len() > 128 || value.contains(char::is_control) { "other" } else { &escaped };
        let sample = format!("service_a_b{{value=\"{shown}\"}} 7.0");
        prop_assert!(text.split('\n').any(|line| line == sample), "{}", text);
    }
}
