//! Which trace a line belongs to, and how the crate learns of it.

/// The ids of a span, as they are written: lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceIds {
    pub(crate) trace: [u8; 32],
    pub(crate) span: [u8; 16],
}

impl TraceIds {
    /// Renders the ids; there are none where one is zero, which the W3C forbids.
    pub(crate) fn new(trace: u128, span: u64) -> Option<Self> {
        (trace != 0 && span != 0).then(|| Self {
            trace: hex(trace.to_be_bytes()),
            span: hex(span.to_be_bytes()),
        })
    }
}

fn hex<const BYTES: usize, const DIGITS: usize>(bytes: [u8; BYTES]) -> [u8; DIGITS] {
    const ALPHABET: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [b'0'; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = ALPHABET[usize::from(byte >> 4)];
        pair[1] = ALPHABET[usize::from(byte & 0xf)];
    }
    digits
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
        assert_eq!(&ids.trace, b"00000000000000000000000000000abc");
        assert_eq!(&ids.span, b"000000000000000f");
        assert_eq!(TraceIds::new(0, 1), None);
        assert_eq!(TraceIds::new(1, 0), None);
    }
}
