use std::fmt::Write as _;

use cqi_errors::Error;
use http::{HeaderName, HeaderValue, Request, Response, header};

use crate::Protocol;

/// Refuses a request as its protocol has it, with the error's public text.
///
/// HTTP gets the error's [`to_response`](Error::to_response); gRPC a response of trailers alone, with
/// status 200, the code of the error's kind in `grpc-status` and the text in `grpc-message`.
///
/// ```
/// use cqi_errors::Error;
/// use http::{Request, header::CONTENT_TYPE};
///
/// let call = Request::builder().header(CONTENT_TYPE, "application/grpc").body(()).unwrap();
/// let response = cqi_tower::reject::<_, Vec<u8>>(&call, &Error::unauthorized("no token"));
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["grpc-status"], "16");
/// ```
#[must_use]
pub fn reject<A, B: From<Vec<u8>>>(request: &Request<A>, error: &Error) -> Response<B> {
    reject_as(Protocol::of(request.headers()), error)
}

pub(crate) fn reject_as<B: From<Vec<u8>>>(protocol: Protocol, error: &Error) -> Response<B> {
    if protocol == Protocol::Http {
        return error.to_response();
    }
    let mut response = Response::new(B::from(Vec::new()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    let code = u16::from(error.kind().grpc_status());
    headers.insert(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from(code),
    );
    if let Ok(message) = HeaderValue::try_from(percent_encode(error.public_message())) {
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
    response
}

/// Encodes all but printable ASCII, and the percent sign, as the gRPC protocol asks.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
