use std::sync::Arc;

use cqi_errors::Error;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;

use super::request_body::Count;
use crate::request::content_length;
use crate::{Ending, GrpcStatus, Observation, Outcome, Protocol, RequestInfo};

/// A request under way, with its observation; dropped before its end, it ends as cancelled.
pub(crate) struct Active<O: Observation>(Option<Live<O>>);

struct Live<O> {
    info: RequestInfo,
    observation: O,
    count: Count,
    head: Option<StatusCode>,
    grpc_status: Option<GrpcStatus>,
    error: Option<Arc<Error>>,
    response_size: u64,
    /// What the response says its body has; a server may stop asking there.
    promised_size: Option<u64>,
}

impl<O: Observation> Active<O> {
    pub(crate) fn new(info: RequestInfo, observation: O, count: Count) -> Self {
        Self(Some(Live {
            info,
            observation,
            count,
            head: None,
            grpc_status: None,
            error: None,
            response_size: 0,
            promised_size: None,
        }))
    }

    /// Belongs to no request.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Hands the request on, from the future to the body.
    pub(crate) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Runs with the request's span and observers entered.
    pub(crate) fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(live) => live.info.span().in_scope(|| live.observation.enter(poll)),
            None => poll(),
        }
    }

    /// Takes note of the head, which ends the request where no body follows.
    pub(crate) fn head<B: Body>(&mut self, response: &mut Response<B>) {
        let Some(live) = &mut self.0 else { return };
        if live.info.route.is_none() {
            live.info.route = crate::Route::find(response.extensions());
        }
        live.head = Some(response.status());
        live.promised_size = content_length(response.headers());
        if live.info.protocol() == Protocol::Grpc {
            live.grpc_status = GrpcStatus::read(response.headers());
        }
        let span = live.info.span().clone();
        span.in_scope(|| live.observation.on_response(response, &live.info));
        if live.has_no_body(response) {
            let error = Error::in_extensions(response.extensions());
            self.end(Ending::Complete, error);
        } else {
            live.error = response.extensions().get::<Arc<Error>>().cloned();
        }
    }

    /// Counts data that goes to the server.
    pub(crate) fn data(&mut self, bytes: usize) {
        if let Some(live) = &mut self.0 {
            live.response_size += bytes as u64;
        }
    }

    /// Takes note of trailers.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(live) = &mut self.0
            && live.info.protocol() == Protocol::Grpc
        {
            live.grpc_status = GrpcStatus::read(trailers).or(live.grpc_status);
        }
    }

    /// Says whether a server has all that the response promised.
    pub(crate) fn is_satisfied(&self) -> bool {
        self.0.as_ref().is_some_and(Live::is_satisfied)
    }

    /// Ends the request, unless it has ended.
    pub(crate) fn end(&mut self, ending: Ending, error: Option<&Error>) {
        if let Some(live) = self.0.take() {
            live.end(ending, error);
        }
    }
}

impl<O: Observation> Live<O> {
    fn has_no_body<B: Body>(&self, response: &Response<B>) -> bool {
        let status = response.status();
        let tunnel = *self.info.method() == Method::CONNECT && status.is_success();
        tunnel
            || *self.info.method() == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || response.body().is_end_stream()
            || self.is_satisfied()
    }

    fn is_satisfied(&self) -> bool {
        self.info.protocol() == Protocol::Http
            && self
                .promised_size
                .is_some_and(|promised| self.response_size >= promised)
    }

    fn end(self, ending: Ending, error: Option<&Error>) {
        let Self {
            info,
            observation,
            error: kept,
            ..
        } = self;
        let outcome = Outcome {
            head: self.head,
            grpc_status: self.grpc_status,
            ending,
            elapsed: info.started().elapsed(),
            request_size: self.count.read().or(info.declared_size()),
            response_size: self.response_size,
            error: error.or(kept.as_deref()),
            request: &info,
        };
        info.span().in_scope(|| observation.on_end(&outcome));
    }
}

impl<O: Observation> Drop for Active<O> {
    fn drop(&mut self) {
        let ending = if std::thread::panicking() {
            Ending::Panicked
        } else {
            Ending::Cancelled
        };
        self.end(ending, None);
    }
}
