use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

/// A span as a collector received it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReceivedSpan {
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: SpanKind,
    /// The trace.
    pub trace_id: u128,
    /// The span itself.
    pub span_id: u64,
    /// The span above it, here or at a caller; `None` for a root.
    pub parent_id: Option<u64>,
    /// Whether the span above it is in another process.
    pub parent_is_remote: bool,
    /// The `tracestate`, empty if there is none.
    pub trace_state: String,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// The attributes by name.
    pub attributes: BTreeMap<String, SpanValue>,
    /// How it ended.
    pub status: SpanStatus,
    /// The names of its events.
    pub events: Vec<String>,
    /// The ids of the spans it is linked to: trace and span.
    pub links: Vec<(u128, u64)>,
    /// The attributes of the service that sent it.
    pub resource: BTreeMap<String, SpanValue>,
}

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// Nothing was said.
    Unspecified,
    /// Work within a process.
    Internal,
    /// A request that is served.
    Server,
    /// A request that is made.
    Client,
    /// An event that is published.
    Producer,
    /// An event that is handled.
    Consumer,
}

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanStatus {
    /// Nothing was said, which is a success unless attributes say otherwise.
    Unset,
    /// As the developer wants it.
    Ok,
    /// Failed, with a text that may be empty.
    Error(String),
}

/// The value of an attribute; it compares with numbers, texts and truth values.
///
/// ```
/// use cqi_trace::testing::SpanValue;
///
/// assert_eq!(SpanValue::Int(200), 200);
/// assert_eq!(SpanValue::Text("GET".to_owned()), "GET");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SpanValue {
    /// A truth value.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// Values in a row.
    List(Vec<Self>),
    /// What OTLP has besides, in its debugging form.
    Other(String),
}

impl fmt::Display for SpanValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(text) | Self::Other(text) => text.fmt(f),
            Self::List(values) => f.debug_list().entries(values).finish(),
        }
    }
}

impl ReceivedSpan {
    /// Takes the spans of an export.
    pub(super) fn of(request: ExportTraceServiceRequest) -> Vec<Self> {
        let mut spans = Vec::new();
        for group in request.resource_spans {
            let resource = group.resource.unwrap_or_default();
            let resource = attributes(resource.attributes);
            for scope in group.scope_spans {
                let received = scope.spans.into_iter();
                spans.extend(received.map(|span| Self::new(span, resource.clone())));
            }
        }
        spans
    }

    fn new(span: Span, resource: BTreeMap<String, SpanValue>) -> Self {
        let nanos = Duration::from_nanos;
        let took = span
            .end_time_unix_nano
            .saturating_sub(span.start_time_unix_nano);
        let links = span.links.iter();
        Self {
            kind: kind(span.kind()),
            trace_id: trace_id(&span.trace_id),
            span_id: span_id(&span.span_id),
            parent_id: Some(span_id(&span.parent_span_id)).filter(|&id| id != 0),
            parent_is_remote: span.flags & 0x200 != 0,
            trace_state: span.trace_state,
            start: SystemTime::UNIX_EPOCH + nanos(span.start_time_unix_nano),
            duration: nanos(took),
            attributes: attributes(span.attributes),
            status: status(span.status.unwrap_or_default()),
            events: span.events.into_iter().map(|event| event.name).collect(),
            links: links
                .map(|link| (trace_id(&link.trace_id), span_id(&link.span_id)))
                .collect(),
            name: span.name,
            resource,
        }
    }
}

/// Reads an id; one that is not as long as it must be is zero.
fn trace_id(bytes: &[u8]) -> u128 {
    bytes.try_into().map_or(0, u128::from_be_bytes)
}

fn span_id(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Unspecified => SpanKind::Unspecified,
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    }
}

fn status(status: Status) -> SpanStatus {
    match status.code() {
        StatusCode::Unset => SpanStatus::Unset,
        StatusCode::Ok => SpanStatus::Ok,
        StatusCode::Error => SpanStatus::Error(status.message),
    }
}

/// Of values with one key, which OTLP forbids, the first is kept.
fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, SpanValue> {
    let mut attributes = BTreeMap::new();
    for pair in pairs {
        let value = pair.value.unwrap_or_default();
        attributes
            .entry(pair.key)
            .or_insert_with(|| self::value(value));
    }
    attributes
}

fn value(value: AnyValue) -> SpanValue {
    match value.value {
        Some(Value::BoolValue(truth)) => SpanValue::Bool(truth),
        Some(Value::IntValue(number)) => SpanValue::Int(number),
        Some(Value::DoubleValue(number)) => SpanValue::Float(number),
        Some(Value::StringValue(text)) => SpanValue::Text(text),
        Some(Value::ArrayValue(list)) => {
            SpanValue::List(list.values.into_iter().map(self::value).collect())
        }
        other => SpanValue::Other(format!("{other:?}")),
    }
}

impl PartialEq<&str> for SpanValue {
    fn eq(&self, other: &&str) -> bool {
        matches!(self, Self::Text(text) if text == other)
    }
}

impl PartialEq<i64> for SpanValue {
    fn eq(&self, other: &i64) -> bool {
        matches!(self, Self::Int(number) if number == other)
    }
}

impl PartialEq<bool> for SpanValue {
    fn eq(&self, other: &bool) -> bool {
        matches!(self, Self::Bool(truth) if truth == other)
    }
}
