//! Settings: what is refused, and how it is told.

use std::time::Duration;

use cqi_config::{OtlpProtocol, Secret, TracingConfig};
use cqi_errors::Error;
use cqi_trace::Tracing;

use tracing::info_span;

use crate::traces::{Traces, service};

fn refused(change: impl FnOnce(&mut TracingConfig)) -> Error {
    let mut config = TracingConfig::default();
    change(&mut config);
    let error = Tracing::init(&config, &service()).unwrap_err();
    assert_eq!(error.kind(), cqi_errors::Kind::InvalidInput);
    error
}

#[test]
fn an_endpoint_of_no_use_is_refused() {
    for (endpoint, problem) in [
        ("localhost:4317", "must be a URL"),
        ("", "must be a URL"),
        ("http://", "must be a URL"),
        ("http://:4317", "must be a URL"),
        ("ftp://collector:21", "must be a URL"),
        ("http://collector:4317/v1/traces", "must not have a path"),
        (
            "http://collector:4317?key=hunter2",
            "must not carry a query",
        ),
        ("http://ada:hunter2@collector:4317", "must not carry a user"),
    ] {
        let error = refused(|config| config.endpoint = endpoint.to_owned());
        assert_eq!(error.field(), Some("tracing.endpoint"));
        assert!(error.to_string().contains(problem), "{endpoint}: {error}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}

#[test]
fn a_header_of_no_use_is_refused_without_its_value() {
    for (name, value) in [("x y", "hunter2"), ("authorization", "hunter2\n")] {
        let error = refused(|config| {
            config.headers = [(name.to_owned(), Secret::new(value))].into();
        });
        assert_eq!(
            error.field(),
            Some(format!("tracing.headers.{name}").as_str())
        );
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}

#[test]
fn secrets_are_not_in_debug_output() {
    let config = TracingConfig {
        headers: [("authorization".to_owned(), Secret::new("hunter2"))].into(),
        ..TracingConfig::default()
    };
    let tracing = Tracing::init(&config, &service()).unwrap();
    let text = format!("{tracing:?}");
    assert!(
        text.contains("enabled: true") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn an_endpoint_over_http_may_have_a_path() {
    let config = TracingConfig {
        endpoint: "http://collector:4318/otlp".to_owned(),
        protocol: OtlpProtocol::Http,
        ..TracingConfig::default()
    };
    Tracing::init(&config, &service()).unwrap();
}

/// Settings made in code are not validated.
#[test]
fn settings_out_of_range_do_no_harm() {
    for (least, sizes) in [
        (Duration::ZERO, (0, 0)),
        (Duration::MAX, (u32::MAX, u32::MAX)),
    ] {
        let traces = Traces::with(|config| {
            (config.queue_size, config.batch_size) = sizes;
            config.batch_delay = least;
            config.export_timeout = least;
            config.sample_ratio = f64::INFINITY;
        });
        drop(info_span!("x"));
        let _ = traces.tracing.shutdown(Duration::MAX);
        let seen = traces.tracing.stats();
        assert_eq!((seen.exported + seen.dropped, seen.waiting), (1, 0));
    }
    let traces = Traces::with(|config| config.batch_size = 0);
    drop(info_span!("x"));
    assert_eq!(traces.end().len(), 1);
}

#[test]
fn where_tracing_is_off_nothing_is_looked_at() {
    let config = TracingConfig {
        enabled: false,
        endpoint: "nowhere".to_owned(),
        ..TracingConfig::default()
    };
    let tracing = Tracing::init(&config, &service()).unwrap();
    tracing.shutdown(Duration::ZERO).unwrap();
    assert_eq!(tracing.stats(), cqi_trace::TraceStats::default());
}
