use std::time::Duration;

use cqi_errors::Error;
use http::StatusCode;

use crate::{GrpcStatus, Protocol, RequestInfo};

/// How a request ended: what an observer is told, once.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<'a> {
    /// The request.
    pub request: &'a RequestInfo,
    /// The status in the head of the response; `None` where there was no response.
    pub head: Option<StatusCode>,
    /// The status of the gRPC call, if one was sent.
    pub grpc_status: Option<GrpcStatus>,
    /// What brought the request to its end.
    pub ending: Ending,
    /// The time from the request's arrival at the layer to the end of the response's body.
    pub elapsed: Duration,
    /// The bytes of the request's body: those counted where the layer
    /// [counts](crate::ObserveLayer::count_request_bodies), else the declared ones, if any.
    pub request_size: Option<u64>,
    /// The bytes of the response's body that were handed to the server.
    pub response_size: u64,
    /// Why the request failed, where the handler's error is a [`cqi_errors::Error`]; not for clients.
    pub error: Option<&'a Error>,
}

/// What brought a request to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The whole response was handed to the server.
    Complete,
    /// The client went away, or a timeout outside the layer struck: before the head of the
    /// response, or in the middle of its body.
    Cancelled,
    /// The body of the response failed, or was shorter than its `content-length`; the client got a
    /// part of it.
    BodyError,
    /// The service returned an error in place of a response.
    ServiceError,
    /// The handler panicked, and nothing inside the layer caught it.
    Panicked,
}

impl Ending {
    /// Returns the name in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::BodyError => "body_error",
            Self::ServiceError => "service_error",
            Self::Panicked => "panicked",
        }
    }
}

impl Outcome<'_> {
    /// Returns the HTTP status that tells the outcome best.
    ///
    /// That of the head, unless there was none or the response broke off through our fault: 499 for
    /// a client that went away before the head, 500 for the rest.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match (self.ending, self.head) {
            (Ending::Complete | Ending::Cancelled, Some(head)) => head,
            (Ending::Cancelled, None) => cqi_errors::Kind::Cancelled.http_status(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the gRPC status that tells the outcome best; `None` for HTTP.
    ///
    /// The one that was sent; else `CANCELLED` for a caller that went away, `DEADLINE_EXCEEDED` if
    /// its `grpc-timeout` was over by then (or all but 10 ms or a tenth of it, since its clock
    /// started first), `INTERNAL` for a failure of ours, and for a response
    /// without one what a client takes from the HTTP status.
    #[must_use]
    pub fn grpc(&self) -> Option<GrpcStatus> {
        if self.request.protocol() != Protocol::Grpc {
            return None;
        }
        Some(match (self.ending, self.grpc_status, self.head) {
            (_, Some(sent), _) => sent,
            (Ending::Cancelled, ..) if self.request.deadline_passed(self.elapsed) => {
                GrpcStatus::DEADLINE_EXCEEDED
            }
            (Ending::Cancelled, ..) => GrpcStatus::CANCELLED,
            (Ending::Complete, None, Some(head)) => GrpcStatus::of_http(head),
            _ => GrpcStatus::INTERNAL,
        })
    }

    /// Returns the full name of the gRPC method, such as `pkg.Service/Method`, unless there is no
    /// such method: `None` for HTTP, where the answer is `UNIMPLEMENTED`, and where it is none of
    /// gRPC's, as when a caller only claims to speak it.
    ///
    /// A caller can still make up a name where nobody says so: if it leaves before the answer is over,
    /// or is refused by a layer. Bound what is made of names.
    #[must_use]
    pub fn grpc_method(&self) -> Option<&str> {
        let is_known = match (self.ending, self.grpc_status) {
            (_, Some(status)) => status != GrpcStatus::UNIMPLEMENTED,
            (ending, None) => ending != Ending::Complete,
        };
        self.request.grpc_method().filter(|_| is_known)
    }

    /// Says whether the service is at fault: a status of 5xx, or a gRPC status that
    /// [says so](GrpcStatus::is_server_error).
    #[must_use]
    pub fn is_server_error(&self) -> bool {
        match self.grpc() {
            Some(status) => status.is_server_error(),
            None => self.status().is_server_error(),
        }
    }
}
