//! From OpenTelemetry's tracer to the queue.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::{Array, Context, StringValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use crate::queue::Queue;

/// The most bytes of a text in an attribute.
const TEXT: usize = 4 * 1024;

/// Hands ended spans to the queue; shutting down is the queue's affair.
#[derive(Debug)]
pub(crate) struct Processor(pub(crate) Arc<Queue>);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        for attribute in &mut span.attributes {
            match &mut attribute.value {
                Value::String(text) => cut(text),
                Value::Array(Array::String(texts)) => texts.iter_mut().for_each(cut),
                _ => {}
            }
        }
        self.0.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Cuts a text that is too long, so that the queue's memory has a bound.
fn cut(text: &mut StringValue) {
    if text.as_str().len() > TEXT {
        let mut short = text.as_str()[..text.as_str().floor_char_boundary(TEXT)].to_owned();
        short.push('…');
        *text = short.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut text = StringValue::from("ä".repeat(TEXT));
        cut(&mut text);
        assert_eq!(text.as_str(), format!("{}…", "ä".repeat(TEXT / 2)));
        let mut odd = StringValue::from(format!("x{}", "ä".repeat(TEXT)));
        cut(&mut odd);
        assert_eq!(odd.as_str().len(), TEXT - 1 + "…".len());
        let mut short = StringValue::from("x".repeat(TEXT));
        cut(&mut short);
        assert_eq!(short.as_str().len(), TEXT);
    }
}
