//! The fields of a span or an event, rendered once.

use std::error::Error;
use std::fmt;

use tracing::field::{Field, Visit};

use crate::json::{self, Escape};
use crate::redact::Redact;
use crate::trace_ids::TraceIds;
use crate::value::Value;

/// How fields are written.
#[derive(Debug)]
pub(crate) struct Style {
    pub(crate) escape: Escape,
    pub(crate) redact: Redact,
}

/// Rendered fields: `,"name":value` each in JSON, ` name=value` in text. Names are unique.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: &'static str,
    start: usize,
    end: usize,
}

impl Fields {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let rendered = |entry: &Entry| (entry.name, &self.bytes[entry.start..entry.end]);
        self.entries.iter().map(rendered)
    }

    /// Adds fields, in place of those of the same names.
    pub(crate) fn merge(&mut self, newer: &Self) {
        for (name, rendered) in newer.iter() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(rendered);
            self.finish(name, start);
        }
    }

    /// Empties the buffer and keeps no more than so many bytes of it.
    pub(crate) fn trim(&mut self, retained: usize) {
        self.clear();
        self.bytes.shrink_to(retained);
    }

    /// Accounts for the field rendered from `start` on; an older one of its name goes.
    fn finish(&mut self, name: &'static str, start: usize) {
        let end = self.bytes.len();
        self.entries.push(Entry { name, start, end });
        let newest = self.entries.len() - 1;
        if let Some(older) = self.entries[..newest]
            .iter()
            .position(|entry| entry.name == name)
        {
            let gone = self.entries.remove(older);
            let width = gone.end - gone.start;
            self.bytes.drain(gone.start..gone.end);
            for entry in &mut self.entries[older..] {
                entry.start -= width;
                entry.end -= width;
            }
        }
    }
}

/// Whose fields are visited: that decides what some names mean.
pub(crate) enum Source<'a> {
    /// An event, whose `message` goes to a place of its own.
    Event { message: &'a mut Vec<u8> },
    /// An event that stands for a record of the `log` crate, whose `log.*` fields are its metadata.
    #[cfg(feature = "log")]
    Record { message: &'a mut Vec<u8> },
    /// A span, whose fields may name the trace it belongs to.
    Span,
}

/// Renders what it visits.
pub(crate) struct Renderer<'a> {
    pub(crate) style: &'a Style,
    pub(crate) fields: &'a mut Fields,
    pub(crate) source: Source<'a>,
    trace_id: u128,
    span_id: u64,
}

impl<'a> Renderer<'a> {
    pub(crate) fn new(style: &'a Style, fields: &'a mut Fields, source: Source<'a>) -> Self {
        fields.clear();
        Self {
            style,
            fields,
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
        let name = name.strip_prefix("r#").unwrap_or(name);
        let escape = self.style.escape;
        let name = match &mut self.source {
            Source::Event { message } if name == "message" => {
                message.clear();
                return value.write_text(message, escape);
            }
            #[cfg(feature = "log")]
            Source::Record { message } if name == "message" => {
                message.clear();
                return value.write_text(message, escape);
            }
            #[cfg(feature = "log")]
            Source::Record { .. } if name.starts_with("log.") => return,
            _ => unreserved(name),
        };
        let start = self.fields.bytes.len();
        let out = &mut self.fields.bytes;
        match escape {
            Escape::Json => {
                out.extend_from_slice(b",\"");
                json::push_escaped(out, name, escape);
                out.extend_from_slice(b"\":");
            }
            Escape::Text => {
                out.push(b' ');
                json::push_escaped(out, name, escape);
                out.push(b'=');
            }
        }
        if self.style.redact.covers(name) {
            out.extend_from_slice(b"\"[redacted]\"");
        } else {
            value.write(out, escape);
        }
        self.fields.finish(name, start);
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

/// Moves a field whose name is one of the line's own keys out of their way.
fn unreserved(name: &'static str) -> &'static str {
    match name {
        "timestamp" => "field.timestamp",
        "level" => "field.level",
        "service_name" => "field.service_name",
        "message" => "field.message",
        "trace_id" => "field.trace_id",
        "span_id" => "field.span_id",
        "target" => "field.target",
        name => name,
    }
}
