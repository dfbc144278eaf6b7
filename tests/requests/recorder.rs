//! An observer that only remembers: the truth that logs, metrics and traces are compared with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cqi_tower::{Ending, Observation, Observer, Outcome, RequestInfo};
use http::Request;

/// Counts the requests that start, and keeps how each ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) started: usize,
    pub(crate) ended: Vec<End>,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) request_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    /// Whether logs and traces leave it out.
    pub(crate) quiet: bool,
    pub(crate) method: String,
    pub(crate) route: Option<String>,
    /// The status that was sent, if one was.
    pub(crate) head: Option<u16>,
    /// The status that tells the outcome best.
    pub(crate) status: u16,
    pub(crate) grpc: Option<&'static str>,
    pub(crate) grpc_method: Option<String>,
    pub(crate) ending: Ending,
    /// Whether the service is at fault.
    pub(crate) failed: bool,
}

impl Recorder {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether nothing is under way.
    pub(crate) fn is_at_rest(&self) -> bool {
        let book = self.book();
        book.started == book.ended.len()
    }
}

impl Observer for Recorder {
    type Observation = Self;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> Self {
        self.book().started += 1;
        self.clone()
    }
}

impl Observation for Recorder {
    fn on_end(self, outcome: &Outcome<'_>) {
        let request = outcome.request;
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let end = End {
            request_id: request.request_id().map(text),
            trace_id: request.trace().map(|ids| format!("{:032x}", ids.trace_id)),
            quiet: request.is_quiet(),
            method: request.method().to_string(),
            route: request.route().map(str::to_owned),
            head: outcome.head.map(|head| head.as_u16()),
            status: outcome.status().as_u16(),
            grpc: outcome.grpc().map(cqi_tower::GrpcStatus::as_str),
            grpc_method: outcome.grpc_method().map(str::to_owned),
            ending: outcome.ending,
            failed: outcome.is_server_error(),
        };
        self.book().ended.push(end);
    }
}
