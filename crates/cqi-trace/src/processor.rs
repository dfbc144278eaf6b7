//! From OpenTelemetry's tracer to the queue.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{Event, Link, Status};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use crate::queue::{Queue, Waiting};

/// The most bytes of a text.
const TEXT: usize = 4 * 1024;
/// The bytes of a number in a list, as it is sent.
const NUMBER: usize = 12;

/// Hands ended spans to the queue; shutting down is the queue's affair.
#[derive(Debug)]
pub(crate) struct Processor(pub(crate) Arc<Queue>);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        let bytes = bound(&mut span);
        self.0.push(Waiting { span, bytes });
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Cuts the texts of a span that are too long, and returns how many bytes it takes up.
fn bound(span: &mut SpanData) -> usize {
    let mut bytes = size_of::<SpanData>() + bound_name(&mut span.name);
    if let Status::Error { description } = &mut span.status {
        bytes += bound_name(description);
    }
    bytes += bound_attributes(&mut span.attributes);
    for event in &mut span.events.events {
        bytes += size_of::<Event>();
        bytes += bound_name(&mut event.name) + bound_attributes(&mut event.attributes);
    }
    for link in &mut span.links.links {
        bytes += size_of::<Link>() + bound_attributes(&mut link.attributes);
    }
    bytes
}

fn bound_attributes(attributes: &mut [KeyValue]) -> usize {
    let bytes = attributes.iter_mut().map(|attribute| {
        let key = attribute.key.as_str().len();
        size_of::<KeyValue>() + key + bound_value(&mut attribute.value)
    });
    bytes.sum()
}

fn bound_value(value: &mut Value) -> usize {
    match value {
        Value::String(text) => bound_text(text),
        Value::Array(Array::String(texts)) => texts
            .iter_mut()
            .map(|text| size_of::<StringValue>() + bound_text(text))
            .sum(),
        Value::Array(Array::Bool(list)) => list.len() * NUMBER,
        Value::Array(Array::I64(list)) => list.len() * NUMBER,
        Value::Array(Array::F64(list)) => list.len() * NUMBER,
        _ => 0,
    }
}

fn bound_text(text: &mut StringValue) -> usize {
    if let Some(short) = cut(text.as_str()) {
        *text = short.into();
    }
    text.as_str().len()
}

fn bound_name(name: &mut Cow<'static, str>) -> usize {
    if let Some(short) = cut(name) {
        *name = short.into();
    }
    name.len()
}

/// Cuts a text that is too long.
fn cut(text: &str) -> Option<String> {
    (text.len() > TEXT).then(|| {
        let mut short = text[..text.floor_char_boundary(TEXT)].to_owned();
        short.push('…');
        short
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let short = cut(&"ä".repeat(TEXT));
        assert_eq!(short, Some(format!("{}…", "ä".repeat(TEXT / 2))));
        let odd = cut(&format!("x{}", "ä".repeat(TEXT))).unwrap();
        assert_eq!(odd.len(), TEXT - 1 + "…".len());
        assert_eq!(cut(&"x".repeat(TEXT)), None);
    }

    #[test]
    fn lists_are_counted() {
        let long = || StringValue::from("x".repeat(2 * TEXT));
        let lists = [
            (Array::Bool(vec![true; 100]), 100 * NUMBER),
            (Array::I64(vec![i64::MAX; 100]), 100 * NUMBER),
            (Array::F64(vec![0.5; 100]), 100 * NUMBER),
            (
                Array::String(vec![long(), long()]),
                2 * (size_of::<StringValue>() + TEXT + "…".len()),
            ),
        ];
        for (list, bytes) in lists {
            assert_eq!(bound_value(&mut Value::Array(list)), bytes);
        }
        assert_eq!(bound_value(&mut Value::I64(1)), 0);
    }
}
