//! Whether logs, metrics and traces tell the same of each request.

use std::collections::BTreeMap;

use cqi_tower::Ending;
use cqi_trace::testing::{SpanStatus, SpanValue};

use crate::recorder::End;
use crate::samples::Labels;
use crate::telemetry::Telemetry;

/// Compares everything that was told of all requests so far.
pub(crate) fn check(telemetry: &Telemetry) {
    let ends = telemetry.recorder.book().ended.clone();
    lines(telemetry, &ends);
    metrics(telemetry, &ends);
    spans(telemetry, &ends);
}

/// Each request has one line, which says what happened; probes have none.
fn lines(telemetry: &Telemetry, ends: &[End]) {
    let mut lines = BTreeMap::new();
    for line in telemetry.access_lines() {
        let id = line["request_id"].as_str().unwrap().to_owned();
        if let Some(other) = lines.insert(id, line.clone()) {
            panic!("two lines of one request: {other} {line}");
        }
    }
    for end in ends.iter().filter(|end| !end.quiet) {
        let id = end.request_id.as_deref().unwrap();
        let Some(line) = lines.remove(id) else {
            panic!("no line for {end:?}");
        };
        let ending = (end.ending != Ending::Complete).then(|| end.ending.as_str());
        let level = if end.failed { "error" } else { "info" };
        let told = (
            line["method"].as_str(),
            line["status"].as_u64(),
            line["grpc_status"].as_str(),
            line["grpc_method"].as_str(),
            line["ending"].as_str(),
            line["level"].as_str(),
            line["trace_id"].as_str(),
        );
        let truth = (
            Some(end.method.as_str()),
            Some(u64::from(end.status)),
            end.grpc,
            end.grpc_method.as_deref(),
            ending,
            Some(level),
            end.trace_id.as_deref(),
        );
        assert_eq!(told, truth, "{line} {end:?}");
        if end.grpc.is_none() {
            assert_eq!(line["route"].as_str(), end.route.as_deref(), "{line}");
        }
    }
    assert!(lines.is_empty(), "lines of no request: {lines:?}");
}

/// Each request, probes included, is counted once under the same names, and none is in flight.
fn metrics(telemetry: &Telemetry, ends: &[End]) {
    let mut truth = BTreeMap::new();
    for end in ends {
        let labels = match end.grpc {
            Some(code) => Labels::from([("code".to_owned(), code.to_owned())]),
            None => Labels::from([
                (
                    "method".to_owned(),
                    match end.status {
                        405 => "_OTHER".to_owned(),
                        _ => end.method.clone(),
                    },
                ),
                (
                    "path".to_owned(),
                    end.route.clone().unwrap_or_else(|| "unmatched".to_owned()),
                ),
                ("status_code".to_owned(), end.status.to_string()),
            ]),
        };
        *truth.entry(labels).or_insert(0.0) += 1.0;
    }
    let samples = telemetry.samples();
    for (http, grpc) in [
        (
            "service_http_request_count_total",
            "service_grpc_call_count_total",
        ),
        (
            "service_http_request_duration_seconds_count",
            "service_grpc_call_duration_seconds_count",
        ),
    ] {
        let mut counted = BTreeMap::new();
        for sample in samples.of(http, &[]).chain(samples.of(grpc, &[])) {
            let mut labels = sample.labels.clone();
            if labels.contains_key("code") {
                // It is `other` until the method has answered, which is a matter of order.
                let method = labels.remove("method");
                let is_sent = |end: &End| end.grpc_method == method;
                assert!(
                    method.as_deref() == Some("other") || ends.iter().any(is_sent),
                    "{method:?}"
                );
            }
            *counted.entry(labels).or_insert(0.0) += sample.value;
        }
        assert_eq!(counted, truth, "{http}");
    }
    for gauge in [
        "service_http_requests_in_flight",
        "service_grpc_calls_in_flight",
    ] {
        let values: Vec<_> = samples.of(gauge, &[]).map(|sample| sample.value).collect();
        assert_eq!(values, [0.0], "{gauge}");
    }
    let lines = telemetry.logs.lines();
    let panics = lines
        .iter()
        .filter(|line| line["exception.type"] == "panic")
        .count();
    let counted = samples.sum("service_request_panics_total", &[]);
    assert_eq!(counted, panics as f64, "panics");
    for sample in &samples.0 {
        let Some(exemplar) = &sample.exemplar else {
            continue;
        };
        let trace = Some(exemplar["trace_id"].as_str());
        let of_it = |end: &&End| end.trace_id.as_deref() == trace;
        let end = ends
            .iter()
            .find(of_it)
            .unwrap_or_else(|| panic!("no request: {sample:?}"));
        let told = sample
            .labels
            .get("status_code")
            .or(sample.labels.get("code"));
        let truth = end
            .grpc
            .map_or_else(|| end.status.to_string(), str::to_owned);
        assert_eq!(told, Some(&truth), "{sample:?} {end:?}");
    }
}

/// Each request has one server span, which says the same; probes have none.
fn spans(telemetry: &Telemetry, ends: &[End]) {
    let mut spans = BTreeMap::new();
    for span in telemetry.server_spans() {
        let trace = format!("{:032x}", span.trace_id);
        if let Some(other) = spans.insert(trace, span.clone()) {
            panic!("two spans of one request: {other:?} {span:?}");
        }
    }
    for end in ends.iter().filter(|end| !end.quiet) {
        let Some(span) = end.trace_id.as_ref().and_then(|id| spans.remove(id)) else {
            panic!("no span for {end:?}");
        };
        let text = |name: &str| match span.attributes.get(name) {
            Some(SpanValue::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        assert_eq!(
            text("request_id"),
            end.request_id.as_deref(),
            "{span:?} {end:?}"
        );
        assert_eq!(
            matches!(span.status, SpanStatus::Error(_)),
            end.failed,
            "{span:?} {end:?}"
        );
        match end.grpc {
            Some(code) => {
                assert_eq!(text("rpc.status_code"), Some(code), "{span:?} {end:?}");
                let method = end.grpc_method.as_deref();
                assert_eq!(
                    text("rpc.method"),
                    Some(method.unwrap_or("_OTHER")),
                    "{span:?}"
                );
                assert_eq!(span.name, method.unwrap_or("grpc"), "{end:?}");
            }
            None => {
                let status = match span.attributes.get("http.response.status_code") {
                    Some(SpanValue::Int(status)) => u16::try_from(*status).ok(),
                    _ => None,
                };
                assert_eq!(status, end.head, "{span:?} {end:?}");
                assert_eq!(
                    text("http.request.method"),
                    Some(end.method.as_str()),
                    "{span:?}"
                );
                assert_eq!(text("http.route"), end.route.as_deref(), "{span:?} {end:?}");
                let route = end.route.iter().map(String::as_str);
                let name: Vec<_> = [end.method.as_str()].into_iter().chain(route).collect();
                assert_eq!(span.name, name.join(" "), "{end:?}");
            }
        }
    }
    assert!(spans.is_empty(), "spans of no request: {spans:?}");
}
