//! One line for each request.

mod allocations;
mod headers;
mod hostile;
mod ids;
mod lines;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use cqi_log::LogLayer;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::logs::Logs;

/// A service over HTTP, in short.
pub(crate) trait Service:
    tower::Service<Request<Body>, Response = Response<Self::Body>, Error: std::fmt::Debug>
{
    type Body: http_body::Body<Error: std::fmt::Debug>;
}

impl<S, B> Service for S
where
    S: tower::Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug>,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    type Body = B;
}

/// Sends a request, and reads the whole response, which may break off.
pub(crate) fn send(logs: &Logs, service: impl Service, request: Request<Body>) -> Response<()> {
    logs.run(|| {
        block_on(async {
            let response = service.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let _ = std::pin::pin!(body).collect().await;
            Response::from_parts(parts, ())
        })
    })
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// Polls a future that is not ready, and drops it.
pub(crate) fn poll_once(future: impl Future) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::pin!(future).poll(&mut context).is_pending());
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// Answers each request alike, and logs it with the defaults.
pub(crate) fn respond<B>(
    response: impl Fn() -> Response<B> + Clone,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<impl http_body::Body<Data = B::Data, Error = B::Error>>,
    Error = Infallible,
>
where
    B: http_body::Body,
{
    LogLayer::new().layer(service_fn(move |_: Request<Body>| {
        std::future::ready(Ok(response()))
    }))
}

pub(crate) type Sent = io::Result<Frame<Bytes>>;

pub(crate) fn data(text: &'static str) -> Sent {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// A body that sends what it is told to.
pub(crate) struct Frames(VecDeque<Sent>);

impl Frames {
    pub(crate) fn new(frames: Vec<Sent>) -> Self {
        Self(frames.into())
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Sent>> {
        Poll::Ready(self.0.pop_front())
    }
}
