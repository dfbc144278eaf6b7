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
///
/// It is a layer of its own, and an observer that shares an [`ObserveLayer`] with others. Put it where
/// all is inside whose outcome it shall see, and where the route is known: with axum, in
/// `Router::layer`. What a line says and at which level is in the [crate's documentation](crate#requests).
///
/// What names its fields is kept for the life of the process, about a kilobyte for each layer that is
/// set up: make layers while the service starts, not for each request.
///
/// # Cancel safety
/// A request that is dropped before its end has its line all the same, with `"ending":"cancelled"`.
///
/// ```
/// use cqi_log::LogLayer;
/// use http::{Request, Response};
/// use tower::{Layer as _, ServiceExt as _, service_fn};
///
/// # #[cfg(feature = "testing")] {
/// # let logs = cqi_log::testing::capture();
/// let service = LogLayer::new().layer(service_fn(|_: Request<String>| async {
///     tracing::info!("asset read");
///     Ok::<_, std::convert::Infallible>(Response::new(String::from("btc")))
/// }));
/// let request = Request::get("/v1/assets/btc").header("x-request-id", "abc").body(String::new());
/// let response = service.oneshot(request?);
/// # let response = tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// #     let (parts, body) = response.await?.into_parts();
/// #     http_body_util::BodyExt::collect(body).await?;
/// #     Ok::<_, std::convert::Infallible>(http::Response::from_parts(parts, ()))
/// # })?;
/// assert_eq!(response.headers()["x-request-id"], "abc");
/// # let lines = logs.lines();
/// # let lines = &lines[lines.len() - 2..];
/// assert_eq!(lines[0]["request_id"], "abc"); // "asset read"
/// assert_eq!(lines[1]["status"], 200); // "request"
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

    /// Logs a header of requests, as `request_header.user-agent` and so on.
    ///
    /// Of several values the first is logged, up to 256 bytes; of credentials none is.
    ///
    /// # Panics
    /// If the name is not that of a header, in lower case, or if more than 16 are chosen, those of
    /// responses included.
    ///
    /// ```
    /// let layer = cqi_log::LogLayer::new()
    ///     .request_header("user-agent")
    ///     .response_header("x-cache");
    /// ```
    pub fn request_header(mut self, name: &'static str) -> Self {
        self.request_headers.push(Chosen::new(name));
        self.changed()
    }

    /// Logs a header of responses, as `response_header.x-cache` and so on; as
    /// [`request_header`](Self::request_header) does.
    ///
    /// # Panics
    /// As there.
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

    /// Returns what clones of this layer share, made with the first request.
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

    fn prepare<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) {
        info.set_request_id(identify(&self.id_header, request.headers_mut()));
    }

    fn on_request<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) -> LogObservation {
        let lines = self.lines();
        let mut values = Values::default();
        if !info.is_quiet() {
            values.capture(&lines.request_headers, request.headers());
            // Who has made a span already has put the id into it.
            if info.span().is_disabled() {
                let id = info.request_id().and_then(|id| id.to_str().ok());
                info.set_span(Lines::span(id.unwrap_or_default()));
            }
            lines.start(info);
        }
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
    // `insert` panics where a map is as large as it can be.
    let _ = headers.try_insert(name, made.clone());
    made
}

/// One request that a [`LogLayer`] watches.
#[derive(Debug)]
pub struct LogObservation {
    lines: &'static Lines,
    values: Values,
}

impl Observation for LogObservation {
    fn on_response<B>(&mut self, response: &mut Response<B>, info: &RequestInfo) {
        if let Some(id) = info.request_id() {
            let headers = response.headers_mut();
            let _ = headers.try_insert(self.lines.id_header.clone(), id.clone());
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
