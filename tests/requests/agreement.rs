//! Whether logs, metrics and traces tell the same of each request.

use std::collections::BTreeMap;

use cqi_tower::Ending;

use crate::recorder::End;
use crate::telemetry::Telemetry;

/// Compares everything that was told of all requests so far.
pub(crate) fn check(telemetry: &Telemetry) {
    let ends = telemetry.recorder.book().ended.clone();
    lines(telemetry, &ends);
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
