//! Which trace a line belongs to, and how the crate learns of it.

use crate::hex;

/// The ids of a span; neither is zero, which the W3C forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceIds {
    trace: u128,
    span: u64,
}

impl TraceIds {
    pub(crate) fn new(trace: u128, span: u64) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span })
    }

    /// Writes the id of the trace in lower-case hexadecimal digits.
    pub(crate) fn write_trace(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&hex::digits((self.trace >> 64) as u64));
        out.extend_from_slice(&hex::digits(self.trace as u64));
    }

    /// Writes the id of the span.
    pub(crate) fn write_span(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&hex::digits(self.span));
    }
}

/// Asks OpenTelemetry's layer for the ids of a span, which starts the span if it had not yet.
#[cfg(feature = "otel")]
pub(crate) fn of_opentelemetry(
    id: &tracing::span::Id,
    dispatch: &tracing::Dispatch,
) -> Option<TraceIds> {
    use opentelemetry::trace::TraceContextExt as _;

    let context = tracing_opentelemetry::get_otel_context(id, dispatch)?;
    let span = context.span();
    let ids = span.span_context();
    TraceIds::new(
        u128::from_be_bytes(ids.trace_id().to_bytes()),
        u64::from_be_bytes(ids.span_id().to_bytes()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_padded_and_lower_case() {
        let ids = TraceIds::new(0xABC, 0xF).unwrap();
        let mut written = Vec::new();
        ids.write_trace(&mut written);
        assert_eq!(written, b"00000000000000000000000000000abc");
        written.clear();
        ids.write_span(&mut written);
        assert_eq!(written, b"000000000000000f");
        assert_eq!(TraceIds::new(0, 1), None);
        assert_eq!(TraceIds::new(1, 0), None);
    }
}
