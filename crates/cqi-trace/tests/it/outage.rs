//! What is logged while the collector is away.

use std::time::Duration;

use cqi_trace::testing::{Collector, Fault};
use tracing::info_span;

use crate::traces::{SOON, Traces};

#[test]
fn an_outage_is_told_once_and_so_is_its_end() {
    let traces = Traces::with(|config| config.batch_delay = Duration::from_millis(1));
    traces.collector.set_fault(Fault::Refuse);
    for exports in 1..=20 {
        drop(info_span!("x"));
        traces.collector.wait_for_exports(exports);
    }
    traces.collector.set_fault(Fault::None);
    drop(info_span!("y"));
    traces.collector.wait_for(|spans| spans.len() == 1);
    drop(info_span!("z"));
    traces.end();
    let lines = traces.logs.lines();
    let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["spans are lost", "spans are exported again"]);
    assert_eq!(lines[0]["level"], "warn");
    assert_eq!(lines[0]["target"], "cqi_trace");
    assert_eq!(lines[0]["endpoint"], traces.collector.endpoint());
    assert_eq!(lines[0]["error"], "InvalidArgument: refused by the test");
    assert_eq!(lines[0]["dropped"], 1);
    assert_eq!(lines[1]["dropped"], 20);
}

#[test]
fn a_full_queue_is_told() {
    let traces = Traces::with(|config| {
        config.queue_size = 1;
        config.batch_size = 1;
        config.batch_delay = Duration::from_millis(1);
    });
    traces
        .collector
        .set_fault(Fault::Slow(Duration::from_millis(20)));
    for _ in 0..3 {
        drop(info_span!("x"));
    }
    traces.tracing.shutdown(SOON).unwrap();
    let lines = traces.logs.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        lines[0]["error"],
        "the queue was full: see tracing.queue_size"
    );
}

#[test]
fn a_collector_that_is_down_is_named_with_the_cause() {
    let traces = Traces::new();
    let Traces {
        tracing,
        logs,
        collector,
    } = traces;
    let endpoint = collector.endpoint();
    drop::<Collector>(collector);
    drop(info_span!("x"));
    assert!(tracing.shutdown(SOON).is_err());
    let lines = logs.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["endpoint"], endpoint);
    let error = lines[0]["error"].as_str().unwrap();
    assert!(error.contains("Connection refused"), "{error}");
}
