//! One line for each request.

mod callsite;
mod headers;
mod id;
mod lines;

use std::sync::{Arc, OnceLock};

use cqi_tower::{Observation, Observe, ObserveLayer, Observer, Outcome, RequestInfo};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower_layer::Layer;

use self::headers::{Chosen, Values};
use self::lines::{Lines, MOST_HEADERS};

/// Gives each request an id, and logs one line at its end.
#[derive(Clone, Debug)]
#[must_use]
pub struct LogLayer {
    id_header: HeaderName,
    request_headers: Vec<Chosen>,
    response_headers: Vec<Chosen>,
    lines: Arc<OnceLock<&'static Lines>>,
}

impl LogLayer {
    /// Logs requests without any of their headers.
    pub fn new() -> Self {
        Self {
            id_header: HeaderName::from_static("x-request-id"),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            lines: Arc::default(),
        }
    }

    /// Names the header that carries the request's id. Default: `x-request-id`.
    ///
    /// # Panics
    /// If the name is not that of a header, in lower case.
    pub fn request_id_header(mut self, name: &'static str) -> Self {
        self.id_header = HeaderName::from_static(name);
        self.changed()
    }

    /// Logs a header of requests.
    pub fn request_header(mut self, name: &'static str) -> Self {
        self.request_headers.push(Chosen::new(name));
        self.changed()
    }

    /// Logs a header of responses.
    pub fn response_header(mut self, name: &'static str) -> Self {
        self.response_headers.push(Chosen::new(name));
        self.changed()
    }

    fn changed(mut self) -> Self {
        let chosen = self.request_headers.len() + self.response_headers.len();
        assert!(
            chosen <= MOST_HEADERS,
            "choose at most {MOST_HEADERS} headers to log"
        );
        self.lines = Arc::default();
        self
    }

    fn lines(&self) -> &'static Lines {
        self.lines.get_or_init(|| {
            let Self {
                id_header,
                request_headers,
                response_headers,
                ..
            } = self.clone();
            Lines::leak(id_header, request_headers, response_headers)
        })
    }
}

impl Default for LogLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for LogLayer {
    type Service = Observe<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.clone()).layer(inner)
    }
}

impl Observer for LogLayer {
    type Observation = LogObservation;

    fn on_request<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) -> LogObservation {
        let lines = self.lines();
        let id = identify(&lines.id_header, request.headers_mut());
        let mut values = Values::default();
        if !info.is_quiet() {
            values.capture(&lines.request_headers, request.headers());
            // Ids are plain ASCII.
            let id = id.to_str().unwrap_or_default();
            if info.span().is_disabled() {
                info.set_span(Lines::span(id));
            } else {
                info.span().record("request_id", id);
            }
            Lines::start(info);
        }
        info.set_request_id(id);
        LogObservation { lines, values }
    }
}

/// Finds the request's id, or gives it one.
fn identify(name: &HeaderName, headers: &mut HeaderMap) -> HeaderValue {
    let mut sent = headers.get_all(name).iter();
    if let (Some(id), None) = (sent.next(), sent.next())
        && id::is_valid(id.as_bytes())
    {
        return id.clone();
    }
    let made = id::make();
    headers.insert(name, made.clone());
    made
}

/// A request that a [`LogLayer`] watches.
#[derive(Debug)]
pub struct LogObservation {
    lines: &'static Lines,
    values: Values,
}

impl Observation for LogObservation {
    fn on_response<B>(&mut self, response: &mut Response<B>, info: &RequestInfo) {
        if let Some(id) = info.request_id() {
            response
                .headers_mut()
                .insert(self.lines.id_header.clone(), id.clone());
        }
        if !info.is_quiet() {
            self.values
                .capture(&self.lines.response_headers, response.headers());
        }
    }

    fn on_end(self, outcome: &Outcome<'_>) {
        if !outcome.request.is_quiet() {
            self.lines.end(outcome, &self.values);
        }
    }
}
