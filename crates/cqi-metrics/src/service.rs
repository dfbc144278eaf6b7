use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

use crate::{Format, Metrics};

/// How long a scrape may take, with the wait for the one before it.
const LIMIT: Duration = Duration::from_secs(10);

/// How long a scrape waits for the one before it. One that takes longer hangs in a value, which the
/// next reading passes over.
const TURN: Duration = Duration::from_secs(5);

/// Answers scrapes: to mount on a server that is there already.
///
/// `GET` and `HEAD` are answered with the metrics, in the format that `Accept` asks for, whatever
/// the path; other methods with 405. The body of a request is not read.
///
/// Metrics are read on a thread for blocking work, for one request at a time: a slow value that is
/// read at the scrape delays scrapes, and nothing else. After 10 s the answer is 503. A value that
/// hangs keeps its thread, and tokio waits for that when its runtime is dropped; further scrapes
/// wait 5 s for it and show its last value.
///
/// # Panics
/// Its future panics outside of a tokio runtime with its timer enabled.
///
/// # Cancel safety
/// A reading that has begun goes on when the future is dropped, and the next waits for it.
#[derive(Clone, Debug)]
pub struct MetricsService {
    metrics: Metrics,
    turn: Arc<Semaphore>,
}

impl Metrics {
    /// Returns a tower service that answers scrapes.
    #[must_use]
    pub fn service(&self) -> MetricsService {
        MetricsService {
            metrics: self.clone(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

impl MetricsService {
    pub(crate) async fn answer(self, method: Method, headers: HeaderMap) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD are allowed\n",
            );
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let format = Format::negotiate(&headers);
        let mut response = match timeout(LIMIT, self.read(format)).await {
            Ok(Some(text)) => respond(StatusCode::OK, format.content_type(), text.into()),
            Ok(None) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be read\n",
            ),
            Err(_) => {
                tracing::error!(limit = ?LIMIT, "metrics take too long to read");
                plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the metrics take too long to read\n",
                )
            }
        };
        if method == Method::HEAD {
            // Servers take the length from a body, unless it is said.
            *response.body_mut() = Full::default();
        }
        response
    }

    async fn read(self, format: Format) -> Option<String> {
        let Self { metrics, turn } = self;
        let turn = timeout(TURN, turn.acquire_owned()).await;
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            metrics.render(format)
        });
        let read = read.await.inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "a metric panicked when it was read"
            );
        });
        read.ok()
    }
}

pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let length = body.len();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<B> Service<Request<B>> for MetricsService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, _) = request.into_parts();
        let answer = self.clone().answer(head.method, head.headers);
        Box::pin(async move { Ok(answer.await) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use cqi_config::{MetricsConfig, ServiceConfig};

    use super::*;

    #[tokio::test]
    async fn a_reading_keeps_its_turn_when_nobody_waits_for_it() {
        let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default()).unwrap();
        let (begin, mut begun) = tokio::sync::mpsc::channel(1);
        let (release, released) = sync_channel::<()>(0);
        let released = Mutex::new(released);
        metrics
            .gauge("test", "held")
            .help("Waits.")
            .observe(move || {
                begin.try_send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
                1.0
            })
            .unwrap();
        let service = metrics.service();
        tokio::select! {
            biased;
            _ = service.clone().answer(Method::GET, HeaderMap::new()) => panic!("it was read"),
            _ = begun.recv() => {}
        }
        assert_eq!(service.turn.available_permits(), 0);
        release.send(()).unwrap();
        let _ended = service.turn.acquire().await.unwrap();
    }
}
