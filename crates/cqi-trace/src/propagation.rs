use http::HeaderMap;

use crate::TraceContext;

/// Reads the trace that a caller sent with a request.
///
/// `None` without a `traceparent`, and with one that is malformed: then the standard has a new
/// trace begin. A malformed `tracestate` alone is left out; one of more than 512 characters loses
/// whole members, long ones first.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::read(headers)
}

/// Sends the current trace with a request, recorded or not: writes `traceparent` and `tracestate` in
/// place of those that are there.
///
/// The trace is that of the innermost span around the call that has ids, in tasks too that were
/// spawned with `in_current_span()`. Outside of any, nothing happens.
///
/// ```
/// # let mut request = http::Request::new(());
/// // With reqwest: `reqwest::Request` has `headers_mut` as well.
/// cqi_trace::inject(request.headers_mut());
///
/// // With tonic, as an interceptor:
/// let interceptor = |mut request: tonic::Request<()>| {
///     cqi_trace::inject(request.metadata_mut().as_mut());
///     Ok::<_, tonic::Status>(request)
/// };
/// # let _ = interceptor;
/// ```
pub fn inject(headers: &mut HeaderMap) {
    if let Some(context) = TraceContext::current() {
        context.write(headers);
    }
}

/// Reads the trace that the producer of an event sent with it, from pairs of name and value such as
/// the headers of a Kafka record. Case does not matter in names.
///
/// ```
/// let headers: Vec<(String, Vec<u8>)> = vec![(
///     "traceparent".into(),
///     b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
/// )];
/// let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
/// let producer = cqi_trace::extract_event(pairs).unwrap();
/// assert_eq!(producer.ids().span_id, 0xb7ad6b7169203331);
/// ```
#[must_use]
pub fn extract_event<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Option<TraceContext> {
    TraceContext::read_pairs(headers)
}

/// Sends the current trace with an event: hands out the name and value of each header, at most two.
///
/// ```
/// let mut headers: Vec<(&str, Vec<u8>)> = Vec::new();
/// cqi_trace::inject_event(|name, value| headers.push((name, value.to_vec())));
/// assert!(headers.is_empty(), "there is no trace here");
/// ```
pub fn inject_event(set: impl FnMut(&'static str, &[u8])) {
    if let Some(context) = TraceContext::current() {
        context.each(set);
    }
}
