//! Prometheus' HTTP API, as far as tests ask it.

use std::collections::BTreeMap;

use cqi_errors::{Error, Result};
use serde_json::Value;

/// How long an answer may take, in seconds.
const ANSWER: u64 = 10;

/// A series' value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The labels; the name of the metric is `__name__`.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// An example of what a series counts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Exemplar {
    /// The labels of the series; the name of the metric is `__name__`.
    pub series: BTreeMap<String, String>,
    /// The labels of the exemplar itself, such as `trace_id`.
    pub labels: BTreeMap<String, String>,
    /// The value that was observed.
    pub value: f64,
}

/// How a target's last scrape went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It was read.
    Up,
    /// It failed.
    Down,
    /// There was none yet.
    Unknown,
}

/// What Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Where its metrics are.
    pub url: String,
    /// How the last scrape went.
    pub health: Health,
    /// Why it failed; empty where it did not.
    pub last_error: String,
    /// When it was, in RFC 3339.
    pub last_scrape: String,
}

/// Asks whether it serves queries.
pub(super) fn ready(port: u16) -> bool {
    get(port, "/-/ready").is_ok_and(|response| response.status_code == 200)
}

pub(super) fn query(port: u16, promql: &str) -> Result<Vec<Sample>> {
    let data = ask(port, &format!("/api/v1/query?query={}", percent(promql)))?;
    match data["resultType"].as_str() {
        Some("scalar") => Ok(vec![Sample {
            labels: BTreeMap::new(),
            value: number(&data["result"][1])?,
        }]),
        Some("vector") => list(&data["result"])
            .iter()
            .map(|sample| {
                Ok(Sample {
                    labels: labels(&sample["metric"]),
                    value: number(&sample["value"][1])?,
                })
            })
            .collect(),
        _ => Err(Error::invalid_input(
            "promql",
            "is neither an instant vector nor a scalar",
        )),
    }
}

pub(super) fn exemplars(port: u16, promql: &str) -> Result<Vec<Exemplar>> {
    // The clock of Prometheus, which is the same machine's.
    let now = query(port, "time()")?.first().map_or(0.0, |now| now.value);
    let data = ask(
        port,
        &format!(
            "/api/v1/query_exemplars?query={}&start={}&end={}",
            percent(promql),
            now - 3600.0,
            now + 60.0
        ),
    )?;
    let mut found = Vec::new();
    for series in list(&data) {
        for exemplar in list(&series["exemplars"]) {
            found.push(Exemplar {
                series: labels(&series["seriesLabels"]),
                labels: labels(&exemplar["labels"]),
                value: number(&exemplar["value"])?,
            });
        }
    }
    Ok(found)
}

pub(super) fn targets(port: u16) -> Result<Vec<Target>> {
    let data = ask(port, "/api/v1/targets")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let targets = list(&data["activeTargets"]).iter().map(|target| Target {
        url: text(&target["scrapeUrl"]),
        health: match target["health"].as_str() {
            Some("up") => Health::Up,
            Some("down") => Health::Down,
            _ => Health::Unknown,
        },
        last_error: text(&target["lastError"]),
        last_scrape: text(&target["lastScrape"]),
    });
    Ok(targets.collect())
}

fn get(port: u16, path: &str) -> Result<minreq::Response> {
    minreq::get(format!("http://127.0.0.1:{port}{path}"))
        .with_timeout(ANSWER)
        .send()
        .map_err(|error| Error::temporary("Prometheus does not answer").with_source(error))
}

/// Returns the `data` of an answer.
fn ask(port: u16, path: &str) -> Result<Value> {
    let response = get(port, path)?;
    let mut answer: Value = serde_json::from_slice(response.as_bytes())
        .map_err(|error| Error::temporary("Prometheus answers no JSON").with_source(error))?;
    match answer["error"].as_str() {
        Some(error) => Err(Error::invalid_input("promql", error.to_owned())),
        None => Ok(answer["data"].take()),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().into_iter().flatten();
    labels
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Numbers are texts, since JSON has no infinity.
fn number(value: &Value) -> Result<f64> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::permanent(format!("Prometheus sent {value} where a number belongs")))
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
