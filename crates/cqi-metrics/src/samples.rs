use std::fmt::Write;
use std::time::UNIX_EPOCH;

use crate::exemplar::Exemplar;

/// Writes the samples of one metric in the
/// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text format.
///
/// Labels come as they are written, without braces.
#[derive(Debug)]
pub struct Samples<'a> {
    out: &'a mut String,
    name: &'a str,
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
    pub(crate) fn of(
        out: &'a mut String,
        name: &'a str,
        kind: &str,
        unit: Option<&str>,
        help: &str,
    ) -> Self {
        let _ = writeln!(out, "# TYPE {name} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
        let _ = write!(out, "# HELP {name} ");
        escape(out, help);
        out.push('\n');
        Self { out, name }
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
        bound.write(self.out);
        let _ = write!(self.out, "\"}} {count}");
        if let Some(Exemplar {
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

/// Escapes a label's value or a help text.
pub(crate) fn escape(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}
