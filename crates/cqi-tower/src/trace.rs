/// Names the trace that a request belongs to, and the span that stands for it here.
///
/// The observer of traces sets it with [`RequestInfo::set_trace`](crate::RequestInfo::set_trace);
/// others read it, such as that of metrics for its exemplars. The form is
/// [W3C Trace Context](https://www.w3.org/TR/trace-context/)'s: ids are never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
    /// Whether the span is recorded, so that somebody can look it up.
    pub sampled: bool,
}
