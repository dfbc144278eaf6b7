use std::fmt::Write;
use std::time::UNIX_EPOCH;

use crate::Format;
use crate::collector::sealed::Kind;
use crate::exemplar::Exemplar;
use crate::registry::Definition;

/// Writes the samples of one metric, in
/// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) or in Prometheus'
/// [text format](https://prometheus.io/docs/instrumenting/exposition_formats/).
///
/// Labels come as they are written, without braces.
#[derive(Debug)]
pub struct Samples<'a> {
    out: &'a mut String,
    name: &'a str,
    format: Format,
}

/// A number as the format has it.
pub(crate) trait Number {
    fn write(self, out: &mut String);
}

impl Number for u64 {
    fn write(self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl Number for f64 {
    fn write(self, out: &mut String) {
        let _ = match self {
            Self::INFINITY => out.write_str("+Inf"),
            Self::NEG_INFINITY => out.write_str("-Inf"),
            value => write!(out, "{value:?}"),
        };
    }
}

impl<'a> Samples<'a> {
    /// Starts a metric.
    pub(crate) fn of(out: &'a mut String, format: Format, metric: &'a Definition) -> Self {
        let Definition {
            name, kind, help, ..
        } = metric;
        let is_open = format == Format::OpenMetrics;
        // OpenMetrics names the metric, the text format its samples.
        let shown = if is_open { name } else { &metric.full_name() };
        let kind = match kind {
            Kind::Info if !is_open => Kind::Gauge,
            kind => *kind,
        };
        let _ = writeln!(out, "# TYPE {shown} {}", kind.as_str());
        if let Some(unit) = metric.unit.filter(|_| is_open) {
            let _ = writeln!(out, "# UNIT {shown} {unit}");
        }
        let _ = write!(out, "# HELP {shown} ");
        for char in help.chars() {
            match char {
                // Only OpenMetrics escapes quotes there.
                '"' if !is_open => out.push('"'),
                char => escape_char(out, char),
            }
        }
        out.push('\n');
        Self { out, name, format }
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    pub(crate) fn sample(&mut self, suffix: &str, labels: &str, value: impl Number) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        if !labels.is_empty() {
            self.out.extend(["{", labels, "}"]);
        }
        self.out.push(' ');
        value.write(self.out);
        self.out.push('\n');
    }

    pub(crate) fn bucket(
        &mut self,
        labels: &str,
        bound: f64,
        count: u64,
        exemplar: Option<Exemplar>,
    ) {
        self.out.extend([self.name, "_bucket{", labels]);
        self.out
            .push_str(if labels.is_empty() { "le=\"" } else { ",le=\"" });
        write_bound(self.out, bound);
        let _ = write!(self.out, "\"}} {count}");
        if self.format == Format::OpenMetrics
            && let Some(Exemplar {
                value,
                trace_id,
                at,
            }) = exemplar
        {
            let at = at
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64();
            let _ = write!(
                self.out,
                " # {{trace_id=\"{trace_id:032x}\"}} {value:?} {at:.3}"
            );
        }
        self.out.push('\n');
    }
}

/// Writes a bound as every client library does, since it is a label: a decimal point or an exponent,
/// which is used below 0.0001 and from a million on.
fn write_bound(out: &mut String, bound: f64) {
    let is_plain = bound == 0.0 || (1e-4..1e6).contains(&bound.abs());
    if is_plain || bound.is_infinite() {
        return bound.write(out);
    }
    let text = format!("{bound:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
}

/// Escapes a label's value.
pub(crate) fn escape(out: &mut String, text: &str) {
    for char in text.chars() {
        escape_char(out, char);
    }
}

fn escape_char(out: &mut String, char: char) {
    match char {
        '\\' => out.push_str("\\\\"),
        '"' => out.push_str("\\\""),
        '\n' => out.push_str("\\n"),
        other => out.push(other),
    }
}
