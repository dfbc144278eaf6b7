use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{Error, Kind};

/// Describes an error to an HTTP client, as RFC 9457 says; it holds public text only.
///
/// To add members of your own (`instance`, a trace id), embed it with `#[serde(flatten)]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
#[non_exhaustive]
pub struct Problem<'a> {
    /// The kind of the error as a URI, such as `urn:cqi:problem:not_found`: what programs compare.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name of the status, the same for every problem of a type.
    pub title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "number")]
    pub status: StatusCode,
    /// The [public message](Error::public_message).
    pub detail: &'a str,
    /// The field that was refused; left out of the body where there is none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub errors: Vec<ProblemField<'a>>,
}

/// Names a field of the input that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
#[non_exhaustive]
pub struct ProblemField<'a> {
    /// The field, as the caller knows it.
    pub field: &'a str,
    /// What is wrong with it.
    pub detail: &'a str,
}

impl Problem<'_> {
    /// The media type of the body.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";
}

impl Error {
    /// Describes the error to an HTTP client.
    ///
    /// ```
    /// use cqi_errors::Error;
    ///
    /// let problem = Error::invalid_input("quantity", "must be positive");
    /// assert_eq!(
    ///     serde_json::to_string(&problem.problem()).unwrap(),
    ///     r#"{"type":"urn:cqi:problem:invalid_input","title":"Bad Request","status":400,"detail":"must be positive","errors":[{"field":"quantity","detail":"must be positive"}]}"#,
    /// );
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn problem(&self) -> Problem<'_> {
        let status = self.kind().http_status();
        let detail = self.public_message();
        Problem {
            kind: problem_type(self.kind()),
            title: status.canonical_reason().unwrap_or("Client Closed Request"),
            status,
            detail,
            errors: self
                .field()
                .map(|field| ProblemField { field, detail })
                .into_iter()
                .collect(),
        }
    }

    /// Makes the HTTP response for a client: the [`problem`](Error::problem) as a body of any type
    /// that is made from bytes (`Vec<u8>`, `Bytes`, `Full<Bytes>`, `axum::body::Body`).
    ///
    /// A status of 429 or 503 carries `Retry-After` where the error has a
    /// [delay](Error::retry_after), in seconds, rounded up, at most 2 147 484 (as over gRPC). A 401 lacks the `WWW-Authenticate` that
    /// RFC 9110 asks for, since the error does not know the scheme: who checks credentials adds it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cqi_errors::Error;
    ///
    /// let error = Error::rate_limited("key 7: 101 requests in 1s")
    ///     .with_retry_after(Duration::from_millis(1200));
    /// let response = error.to_response::<Vec<u8>>();
    /// assert_eq!(response.status(), 429);
    /// assert_eq!(response.headers()["retry-after"], "2");
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn to_response<B: From<Vec<u8>>>(&self) -> Response<B> {
        let problem = self.problem();
        // Strings and numbers always serialize.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(B::from(body));
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::CONTENT_TYPE),
        );
        if matches!(self.kind(), Kind::RateLimited | Kind::Temporary)
            && let Some(delay) = self.told_delay()
        {
            let partial = u64::from(delay.subsec_nanos() > 0);
            let seconds = delay.as_secs() + partial;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Finds the error that a response was made from, for a layer that logs what the client does not
    /// see: that of axum's handlers, and, with the feature `grpc`, that of a `tonic::Status`.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use cqi_errors::Error;
    ///
    /// let error = Error::permanent("disk full");
    /// let mut response = error.to_response::<Vec<u8>>();
    /// response.extensions_mut().insert(Arc::new(error));
    /// assert_eq!(Error::in_extensions(response.extensions()).unwrap().to_string(), "disk full");
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn in_extensions(extensions: &http::Extensions) -> Option<&Self> {
        if let Some(error) = extensions.get::<std::sync::Arc<Self>>() {
            return Some(error);
        }
        #[cfg(feature = "grpc")]
        if let Some(status) = extensions.get::<tonic::Status>() {
            return std::error::Error::source(status)?.downcast_ref();
        }
        None
    }

    /// Reads what a server's response means to its client, or returns `None` where the status is no
    /// error: the kind as [`Kind::from_http_status`] says, the delay from `Retry-After` in seconds (a
    /// date is ignored). The body is not read.
    ///
    /// ```
    /// use cqi_errors::{Error, Kind};
    /// use http::Response;
    ///
    /// let response = Response::builder().status(503).header("retry-after", "2").body(()).unwrap();
    /// let error = Error::from_response(&response).unwrap();
    /// assert_eq!(error.kind(), Kind::Temporary);
    /// assert_eq!(error.to_string(), "the server answered 503 Service Unavailable");
    /// assert_eq!(error.retry_after().unwrap().as_secs(), 2);
    /// ```
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn from_response<B>(response: &Response<B>) -> Option<Self> {
        let kind = Kind::from_http_status(response.status())?;
        let error = Self::new(kind, format!("the server answered {}", response.status()));
        let seconds = |value: &HeaderValue| value.to_str().ok()?.trim().parse().ok();
        Some(
            match response
                .headers()
                .get(header::RETRY_AFTER)
                .and_then(seconds)
            {
                Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
                None => error,
            },
        )
    }
}

fn problem_type(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "urn:cqi:problem:not_found",
        Kind::InvalidInput => "urn:cqi:problem:invalid_input",
        Kind::Unauthorized => "urn:cqi:problem:unauthorized",
        Kind::Forbidden => "urn:cqi:problem:forbidden",
        Kind::Conflict => "urn:cqi:problem:conflict",
        Kind::RateLimited => "urn:cqi:problem:rate_limited",
        Kind::Timeout => "urn:cqi:problem:timeout",
        Kind::Cancelled => "urn:cqi:problem:cancelled",
        Kind::Temporary => "urn:cqi:problem:temporary",
        Kind::Permanent | Kind::Unknown => "urn:cqi:problem:internal",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
