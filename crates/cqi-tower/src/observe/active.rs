use std::mem;
use std::sync::Arc;
use std::thread;

use cqi_errors::Error;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;

use super::request_body::Count;
use crate::request::content_length;
use crate::unwind::quietly;
use crate::{Ending, GrpcStatus, Observation, Outcome, Protocol, RequestInfo};

/// A request under way, until its end; dropped before, it ends as cancelled.
pub(crate) struct Active<O: Observation>(Option<Live<O>>);

struct Live<O> {
    info: RequestInfo,
    progress: Progress,
    /// Taken at the end.
    observation: Option<O>,
    /// Set while the service works: still set afterwards, it panicked.
    working: bool,
}

#[derive(Default)]
struct Progress {
    request_bytes: Count,
    head: Option<StatusCode>,
    grpc_status: Option<GrpcStatus>,
    error: Option<Arc<Error>>,
    response_size: u64,
    /// What an HTTP response says its body has; a server may stop asking there.
    promised_size: Option<u64>,
}

/// A request whose span is entered; of none where it has ended.
pub(crate) struct Entered<'a, O: Observation>(Option<Parts<'a, O>>);

struct Parts<'a, O> {
    info: &'a RequestInfo,
    progress: &'a mut Progress,
    observation: &'a mut Option<O>,
    panicked: bool,
}

impl<O: Observation> Active<O> {
    #[inline]
    pub(crate) fn new(info: RequestInfo, observation: O, request_bytes: Count) -> Self {
        Self(Some(Live {
            info,
            progress: Progress {
                request_bytes,
                ..Progress::default()
            },
            observation: Some(observation),
            working: false,
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

    /// Enters the request's span, once for all that is to be done, and closes it if the request
    /// ends there.
    #[inline]
    pub(crate) fn enter(&mut self, work: impl FnOnce(&mut Entered<'_, O>)) {
        let Some(live) = &mut self.0 else {
            return work(&mut Entered(None));
        };
        let panicked = mem::replace(&mut live.working, true);
        let mut entered = Entered(Some(Parts {
            info: &live.info,
            progress: &mut live.progress,
            observation: &mut live.observation,
            panicked,
        }));
        live.info.enter(|| work(&mut entered));
        live.working = false;
        if live.observation.is_none() {
            self.0 = None;
        }
    }
}

impl<O: Observation> Drop for Active<O> {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.enter(|request| {
                request.abandon();
            });
        }
    }
}

impl<O: Observation> Entered<'_, O> {
    /// Runs a part of the service.
    #[inline]
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(Parts {
                observation: Some(observation),
                ..
            }) => observation.enter(work),
            _ => work(),
        }
    }

    /// Takes note of the head, which ends the request where no body follows.
    pub(crate) fn head<B: Body>(&mut self, response: &mut Response<B>) {
        let Some(parts) = &mut self.0 else { return };
        let Some(observation) = parts.observation else {
            return;
        };
        parts.info.find_route(response.extensions());
        parts.progress.head = Some(response.status());
        match parts.info.protocol() {
            Protocol::Http => parts.progress.promised_size = promised_size(response),
            Protocol::Grpc => parts.progress.grpc_status = GrpcStatus::read(response.headers()),
        }
        observation.on_response(response, parts.info);
        if parts.has_no_body(response) {
            parts.end(
                Ending::Complete,
                Error::in_extensions(response.extensions()),
            );
        } else {
            parts.progress.error = response.extensions().get::<Arc<Error>>().cloned();
        }
    }

    /// Counts data that goes to the server.
    pub(crate) fn data(&mut self, bytes: usize) {
        if let Some(parts) = &mut self.0 {
            parts.progress.response_size += bytes as u64;
        }
    }

    /// Takes note of trailers.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(parts) = &mut self.0
            && parts.info.protocol() == Protocol::Grpc
        {
            let status = &mut parts.progress.grpc_status;
            *status = GrpcStatus::read(trailers).or(*status);
        }
    }

    /// Says whether a server has all that the response promised.
    pub(crate) fn is_satisfied(&self) -> bool {
        self.0.as_ref().is_some_and(Parts::is_satisfied)
    }

    /// Ends the request with its body, which must not be shorter than promised.
    pub(crate) fn end_of_body(&mut self) {
        if let Some(parts) = &mut self.0 {
            let ending = if parts.is_short() {
                Ending::BodyError
            } else {
                Ending::Complete
            };
            parts.end(ending, None);
        }
    }

    /// Ends the request, unless it has ended.
    pub(crate) fn end(&mut self, ending: Ending) {
        if let Some(parts) = &mut self.0 {
            parts.end(ending, None);
        }
    }

    /// Ends a request that nobody goes on with.
    pub(crate) fn abandon(&mut self) {
        if let Some(parts) = &mut self.0 {
            let panicked = parts.panicked || thread::panicking();
            let ending = if panicked {
                Ending::Panicked
            } else {
                Ending::Cancelled
            };
            parts.end(ending, None);
        }
    }
}

/// Returns the `content-length`, or the one that a server takes from the body.
fn promised_size<B: Body>(response: &Response<B>) -> Option<u64> {
    content_length(response.headers()).or_else(|| response.body().size_hint().exact())
}

impl<O: Observation> Parts<'_, O> {
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
        let promised = self.progress.promised_size;
        promised.is_some_and(|promised| self.progress.response_size >= promised)
    }

    fn is_short(&self) -> bool {
        let promised = self.progress.promised_size;
        promised.is_some_and(|promised| self.progress.response_size < promised)
    }

    fn end(&mut self, ending: Ending, error: Option<&Error>) {
        let Some(observation) = self.observation.take() else {
            return;
        };
        let progress = &self.progress;
        let outcome = Outcome {
            head: progress.head,
            grpc_status: progress.grpc_status,
            ending,
            elapsed: self.info.started().elapsed(),
            request_size: progress.request_bytes.read().or(self.info.declared_size()),
            response_size: progress.response_size,
            error: error.or(progress.error.as_deref()),
            request: self.info,
        };
        if thread::panicking() {
            // A second panic that leaves a destructor would end the process.
            quietly(|| observation.on_end(&outcome));
        } else {
            observation.on_end(&outcome);
        }
    }
}
