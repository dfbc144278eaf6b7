//! OTLP over HTTP, with protobuf bodies.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tonic::body::Body;

use super::{HttpClient, Refusal, Reply, chain};

const PATH: &str = "/v1/traces";

/// The most bytes that are read of an answer.
const ANSWER: usize = 64 * 1024;

/// Adds the path of traces, unless it is there.
pub(super) fn endpoint(base: &Uri) -> Result<Uri, http::Error> {
    let path = base.path().trim_end_matches('/');
    let path = match path.ends_with(PATH) {
        true => path.to_owned(),
        false => format!("{path}{PATH}"),
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

pub(super) async fn send(
    client: &HttpClient,
    endpoint: &Uri,
    headers: HeaderMap,
    batch: Bytes,
) -> Result<Reply, Refusal> {
    let mut request = Request::new(Body::new(Full::new(batch)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.clone();
    *request.headers_mut() = headers;
    request.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-protobuf"),
    );
    let response = client.request(request).await.map_err(|error| Refusal {
        cause: chain(&error),
        retry_after: Some(Duration::ZERO),
    })?;
    let status = response.status();
    if !status.is_success() {
        return Err(Refusal {
            cause: status.to_string(),
            retry_after: retry_after(status, response.headers()),
        });
    }
    let answer = Limited::new(response.into_body(), ANSWER).collect().await;
    // The batch was accepted, whatever else the answer says.
    let answer = answer.map_or_else(|_| Bytes::new(), Collected::to_bytes);
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    Ok(answer.into())
}

/// As OTLP's specification has it; a date, which `retry-after` may be too, is not understood.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let is_temporary = matches!(status.as_u16(), 429 | 502..=504);
    let asked = headers.get(header::RETRY_AFTER);
    let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok());
    is_temporary.then(|| Duration::from_secs(asked.unwrap_or_default()))
}
