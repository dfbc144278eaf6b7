//! Names and values of labels, and how they are written.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::samples::escape;

/// The value that stands for all that are too many, too long or not printable.
pub(crate) const OTHER: &str = "other";

/// The longest value, in bytes.
const LONGEST: usize = 128;

/// Returns the value, or [`OTHER`] for one that a client may have made up to hurt.
pub(crate) fn bounded(value: &str) -> &str {
    if is_bounded(value) { value } else { OTHER }
}

fn is_bounded(value: &str) -> bool {
    let is_plain = |byte| matches!(byte, b' '..=b'~');
    value.len() <= LONGEST && (value.bytes().all(is_plain) || !value.contains(char::is_control))
}

/// Says what is wrong with the names of labels.
pub(crate) fn check<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = Vec::new();
    for name in names {
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let rest = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !starts || !rest || name.len() > LONGEST {
            return Err(format!(
                "has a label `{name}`; a label is up to {LONGEST} letters, digits and `_`, and does not start with a digit"
            ));
        }
        if name.starts_with("__") || name == "le" || name == "quantile" {
            return Err(format!("has a label `{name}`, which is Prometheus' own"));
        }
        if seen.contains(&name) {
            return Err(format!("has two labels `{name}`"));
        }
        seen.push(name);
    }
    if seen.is_empty() {
        return Err("has an empty set of labels; make it with `register`".to_owned());
    }
    Ok(())
}

/// Writes labels as they are between the braces.
pub(crate) fn render<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Box<str> {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.extend([name, "=\""]);
        escape(&mut out, value);
        out.push('"');
    }
    out.into()
}

/// Labels that were written by their type.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) names: Vec<String>,
    /// What is between the braces.
    pub(crate) labels: Box<str>,
    /// Whether each value is one that [`bounded`] keeps.
    pub(crate) is_bounded: bool,
}

/// Writes a typed label set.
pub(crate) fn write<L>(set: &L) -> Result<Written, String>
where
    L: EncodeLabelSet + Clone + Send + Sync + 'static,
{
    let mut registry = Registry::default();
    registry.register("m", "", Carrier(set.clone()));
    let mut text = String::new();
    text::encode_registry(&mut text, &registry)
        .map_err(|_| "has labels that cannot be written".to_owned())?;
    // Values hold no line breaks, since those are escaped.
    let sample = text
        .trim_end_matches('\n')
        .rsplit('\n')
        .next()
        .unwrap_or_default();
    let labels = sample
        .strip_prefix("m{")
        .and_then(|rest| rest.strip_suffix("} 0"))
        .unwrap_or_default();

    let (mut names, mut is_bounded, mut rest) = (Vec::new(), true, labels);
    while let Some((name, value)) = rest.split_once("=\"") {
        let end = closing_quote(value);
        names.push(name.trim_start_matches(',').to_owned());
        // As it is written: an escape counts double.
        is_bounded &= self::is_bounded(&value[..end]) && !breaks_line(&value[..end]);
        rest = &value[(end + 1).min(value.len())..];
    }
    check(names.iter().map(String::as_str))?;
    Ok(Written {
        names,
        labels: labels.into(),
        is_bounded,
    })
}

/// Says whether a written value has a line break, which is not a backslash before an `n`.
fn breaks_line(written: &str) -> bool {
    written.replace("\\\\", "").contains("\\n")
}

/// Finds the quote that ends a value.
fn closing_quote(value: &str) -> usize {
    let mut escaped = false;
    let end = value.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.unwrap_or(value.len())
}

/// A metric that is there for its labels.
struct Carrier<L>(L);

impl<L: EncodeLabelSet> EncodeMetric for Carrier<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_family(&self.0)?.encode_gauge(&0_i64)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl<L> fmt::Debug for Carrier<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}
