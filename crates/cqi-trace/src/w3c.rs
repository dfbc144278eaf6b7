//! The headers of [W3C Trace Context](https://www.w3.org/TR/trace-context-2/), level 2.

pub(crate) mod traceparent;
pub(crate) mod tracestate;

/// Leaves out the blanks that may stand around values and members.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
