//! What Prometheus' rules, and ours, say of the names of metrics.

use cqi_errors::{Error, Kind, Result};

use crate::Unit;
use crate::collector::sealed::Kind as MetricKind;

/// The longest name of a metric, in bytes.
const LONGEST: usize = 200;
/// The longest prefix, so that there is room for the rest.
const LONGEST_PREFIX: usize = 64;

/// Makes a prefix of the name of a service: `asset-registry` is `asset_registry`.
pub(crate) fn prefix(service: &str) -> Result<String> {
    let words = service.split(|char: char| !char.is_ascii_alphanumeric());
    let words: Vec<_> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let prefix = words.join("_");
    let problem = if !prefix.starts_with(|first: char| first.is_ascii_lowercase()) {
        "it must start with a letter from a to z"
    } else if prefix.len() > LONGEST_PREFIX {
        "it must not be longer than 64 characters"
    } else {
        return Ok(prefix);
    };
    Err(Error::invalid_input(
        "service.name",
        format!("`{service}` cannot begin the names of metrics: {problem}"),
    ))
}

/// Joins the parts of a name, and appends its unit.
pub(crate) fn join(parts: &[&str], kind: MetricKind, unit: Option<Unit>) -> Result<String> {
    let mut name = parts.join("_");
    let invalid = |problem: String| {
        Err(Error::new(
            Kind::InvalidInput,
            format!("metric `{name}` {problem}"),
        ))
    };
    for part in parts {
        if let Some(problem) = problem(part) {
            return invalid(format!("has a part `{part}` that {problem}"));
        }
    }
    let last = name.rsplit('_').next().unwrap_or_default();
    if let Some(problem) = ending(last, kind) {
        return invalid(problem);
    }
    if let Some(unit) = unit {
        name.extend(["_", unit.as_str()]);
    }
    if name.len() > LONGEST {
        let problem = format!("metric `{name}` is longer than {LONGEST} characters");
        return Err(Error::new(Kind::InvalidInput, problem));
    }
    Ok(name)
}

fn problem(part: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if part.is_empty() {
        Some("is empty")
    } else if !part.bytes().all(allowed) {
        Some("has other characters than a to z, 0 to 9 and `_`")
    } else if !part.starts_with(|first: char| first.is_ascii_lowercase()) {
        Some("does not start with a letter")
    } else if part.contains("__") || part.ends_with('_') {
        Some("has a `_` with no word after it")
    } else {
        None
    }
}

fn ending(word: &str, kind: MetricKind) -> Option<String> {
    let base = match word {
        "total" if kind == MetricKind::Counter => {
            return Some("ends with `_total`: leave it out, each counter gets it".to_owned());
        }
        // `x_count_total` and `x_sum_total` are no histogram's.
        "count" | "sum" if kind == MetricKind::Counter => return None,
        "total" | "bucket" | "count" | "sum" | "info" | "created" => {
            return Some(format!(
                "ends with `_{word}`, which Prometheus keeps for other types; choose another word"
            ));
        }
        "seconds" => {
            return Some(
                "ends with its unit: leave it out and say `.unit(Unit::Seconds)`".to_owned(),
            );
        }
        "bytes" => {
            return Some(
                "ends with its unit: leave it out and say `.unit(Unit::Bytes)`".to_owned(),
            );
        }
        "ratio" => {
            return Some(
                "ends with its unit: leave it out and say `.unit(Unit::Ratio)`".to_owned(),
            );
        }
        "nanoseconds" | "microseconds" | "milliseconds" | "ns" | "us" | "ms" | "minutes"
        | "hours" | "days" => "Unit::Seconds",
        "bits" | "kilobytes" | "megabytes" | "gigabytes" | "kb" | "mb" | "gb" | "kib" | "mib"
        | "gib" => "Unit::Bytes",
        "percent" | "percentage" => "Unit::Ratio",
        _ => return None,
    };
    Some(format!(
        "ends with `_{word}`, which is no base unit: leave it out and say `.unit({base})`"
    ))
}
