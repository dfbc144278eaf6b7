use std::fmt::Write as _;

use cqi_errors::Error;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};

use crate::Protocol;

/// The longest `grpc-message`, in bytes as encoded: header lists above 8 KiB are refused on the way,
/// and other layers add to this one.
const MAX_MESSAGE: usize = 3 * 1024;

/// Refuses a request as its protocol has it, with the error's public text.
///
/// HTTP gets the error's [`to_response`](Error::to_response), without its body for `HEAD`; gRPC a response of trailers alone, with
/// status 200, the code of the error's kind in `grpc-status`, at most 3 KiB of the text in
/// `grpc-message`, and a [delay](Error::retry_after) in `grpc-retry-pushback-ms`.
///
/// The error itself stays here: who wants the access log to have it puts it into the response's
/// extensions, as `Arc<cqi_errors::Error>`.
///
/// ```
/// use cqi_errors::Error;
/// use http::{Request, header::CONTENT_TYPE};
///
/// let call = Request::post("/pkg.Orders/Place").header(CONTENT_TYPE, "application/grpc").body(()).unwrap();
/// let response = cqi_tower::reject::<_, Vec<u8>>(&call, &Error::unauthorized("no token"));
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["grpc-status"], "16");
/// ```
#[must_use]
pub fn reject<A, B: From<Vec<u8>>>(request: &Request<A>, error: &Error) -> Response<B> {
    Refusal::of(request).response(error)
}

/// How a request is refused.
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) protocol: Protocol,
    /// hyper leaves it to the service to send no body then, and HTTP/2 clients reset the stream if
    /// one comes.
    is_head: bool,
}

impl Refusal {
    pub(crate) fn of<A>(request: &Request<A>) -> Self {
        Self {
            protocol: Protocol::of(request.headers()),
            is_head: *request.method() == Method::HEAD,
        }
    }

    pub(crate) fn response<B: From<Vec<u8>>>(self, error: &Error) -> Response<B> {
        match self.protocol {
            Protocol::Http if self.is_head => error.to_response().map(|_: Vec<u8>| empty()),
            Protocol::Http => error.to_response(),
            Protocol::Grpc => trailers_only(error),
        }
    }
}

fn empty<B: From<Vec<u8>>>() -> B {
    B::from(Vec::new())
}

fn trailers_only<B: From<Vec<u8>>>(error: &Error) -> Response<B> {
    let mut response = Response::new(empty());
    let headers = response.headers_mut();
    *headers = grpc_trailers(error);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

/// Returns what ends a gRPC call.
pub(crate) fn grpc_trailers(error: &Error) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let code = u16::from(error.kind().grpc_status());
    trailers.insert(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from(code),
    );
    if let Ok(message) = HeaderValue::try_from(percent_encode(error.public_message())) {
        trailers.insert(HeaderName::from_static("grpc-message"), message);
    }
    if let Some(delay) = error.retry_after() {
        let millis = delay.as_nanos().div_ceil(1_000_000);
        let millis = i32::try_from(millis).unwrap_or(i32::MAX);
        trailers.insert(
            HeaderName::from_static("grpc-retry-pushback-ms"),
            HeaderValue::from(millis),
        );
    }
    trailers
}

/// Encodes all but printable ASCII, and the percent sign, as the gRPC protocol asks; no character is
/// cut in two.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len().min(MAX_MESSAGE));
    for character in text.chars() {
        let whole = encoded.len();
        match character {
            ' '..='~' if character != '%' => encoded.push(character),
            _ => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(encoded, "%{byte:02X}");
                }
            }
        }
        if encoded.len() > MAX_MESSAGE {
            encoded.truncate(whole);
            break;
        }
    }
    encoded
}
