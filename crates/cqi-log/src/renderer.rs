//! From `tracing`'s values to rendered fields.

use std::error::Error;
use std::fmt;

use tracing::field::{Field, Visit};

use crate::keys::Style;
use crate::line::Scratch;
use crate::trace_ids::TraceIds;
use crate::value::Value;

/// Whose fields are visited: that decides what some names mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An event, whose `message` goes to a place of its own.
    Event,
    /// An event that stands for a record of the `log` crate, whose `log.*` fields are its metadata.
    #[cfg(feature = "log")]
    Record,
    /// A span, whose fields may name the trace it belongs to.
    Span,
}

/// Renders what it visits into a thread's buffers.
pub(crate) struct Renderer<'a> {
    style: &'a Style,
    scratch: &'a mut Scratch,
    source: Source,
    trace_id: u128,
    span_id: u64,
}

impl<'a> Renderer<'a> {
    pub(crate) fn new(style: &'a Style, scratch: &'a mut Scratch, source: Source) -> Self {
        Self {
            style,
            scratch,
            source,
            trace_id: 0,
            span_id: 0,
        }
    }

    /// Returns the trace that a span's own fields named.
    pub(crate) fn trace_ids(&self) -> Option<TraceIds> {
        TraceIds::new(self.trace_id, self.span_id)
    }

    /// Renders one field. The value may run user code, which may log or panic: no lock is held.
    fn field(&mut self, field: &Field, value: Value<'_>) {
        let name = field.name();
        let escape = self.style.escape;
        let Scratch {
            message,
            keys,
            fields,
            ..
        } = &mut *self.scratch;
        if name == "message" && self.source != Source::Span {
            message.clear();
            return value.write_text(message, escape);
        }
        #[cfg(feature = "log")]
        if self.source == Source::Record && name.starts_with("log.") {
            return;
        }
        // Those tell OpenTelemetry's layer what to make of the span.
        if self.source == Source::Span && name.starts_with("otel.") {
            return;
        }
        fields.push(|out| {
            let key = keys.write(out, name, self.style);
            if key.redacted {
                out.extend_from_slice(b"\"[redacted]\"");
            } else {
                value.write(out, escape);
            }
            key.name
        });
    }
}

impl Visit for Renderer<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, Value::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, Value::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match self.source {
            Source::Span if field.name() == "span_id" => self.span_id = value,
            _ => self.field(field, Value::U64(value)),
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.field(field, Value::I128(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match self.source {
            Source::Span if field.name() == "trace_id" => self.trace_id = value,
            _ => self.field(field, Value::U128(value)),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, Value::Str(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.field(field, Value::Error(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, Value::Debug(value));
    }
}
