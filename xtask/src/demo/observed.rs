//! One request as its log line, its spans and its metrics tell it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cqi_trace::testing::{Collector, ReceivedSpan};
use serde_json::Value;

use super::client::Client;
use super::service::Service;
use crate::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(10);

/// Makes one request and shows what three ways of looking at it have in common.
pub(super) fn show(service: &Service, client: &Client, collector: &Collector) -> Result<()> {
    let id = "demo-7f3a";
    client.show_get_as("/v1/assets/1", id)?.expect(200)?;
    let line = access_line(service, id)?;
    let trace = line["trace_id"]
        .as_str()
        .context("the line has no trace id")?;
    println!("\n  the log\n    {line}");
    spans(collector, trace)?;
    metrics(service, trace)
}

fn access_line(service: &Service, id: &str) -> Result<Value> {
    let mut found = None;
    wait_until("the request has its line in the log", LIMIT, || {
        found = service
            .log_lines()
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["request_id"] == id && line["message"] == "request");
        Ok(found.is_some())
    })?;
    found.context("the request has no line")
}

fn spans(collector: &Collector, trace: &str) -> Result<()> {
    let of_trace = |span: &&ReceivedSpan| format!("{:032x}", span.trace_id) == trace;
    let mut spans = Vec::new();
    wait_until("the collector has the request's spans", LIMIT, || {
        spans = collector.spans();
        Ok(spans
            .iter()
            .filter(of_trace)
            .any(|span| span.parent_id.is_none()))
    })?;
    let mut spans: Vec<_> = spans.iter().filter(of_trace).collect();
    spans.sort_by_key(|span| span.start);
    println!("\n  the trace {trace}, as a collector received it");
    for span in &spans {
        let indent = if span.parent_id.is_some() { "  " } else { "" };
        println!(
            "    {indent}{} ({:?}, {:.1} ms)",
            span.name,
            span.kind,
            span.duration.as_secs_f64() * 1e3
        );
        for (key, value) in &span.attributes {
            println!("    {indent}  {key} = {value}");
        }
    }
    let server = spans.iter().find(|span| span.parent_id.is_none());
    let server = server.context("the trace has no first span")?;
    let query = spans
        .iter()
        .find(|span| span.parent_id == Some(server.span_id));
    ensure!(query.is_some(), "the query has no span below the request's");
    Ok(())
}

fn metrics(service: &Service, trace: &str) -> Result<()> {
    let text = service.metrics()?;
    let of_route =
        |line: &&str| line.contains(r#"path="/v1/assets/{id}""#) && line.contains(r#""200""#);
    let shown =
        |line: &&str| line.contains("_count") || line.contains("_sum") || line.contains(trace);
    println!("\n  the metrics of its route");
    for line in text.lines().filter(of_route).filter(shown) {
        println!("    {line}");
    }
    let exemplar = text
        .lines()
        .filter(of_route)
        .any(|line| line.contains(&format!("trace_id=\"{trace}\"")));
    ensure!(exemplar, "no bucket names the trace {trace} as its example");
    Ok(())
}
