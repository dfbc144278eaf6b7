//! A service over HTTP whose caller chooses how each request goes.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get, post};
use cqi_errors::{Error, Result, ResultExt as _};
use futures_util::{Stream, StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/wait/{micros}", get(wait))
        .route(
            "/chunks/{count}",
            get(async |Path(count)| Body::from_stream(chunks(count))),
        )
        .route("/broken/{count}", get(broken))
        .route("/endless", get(endless))
        .route("/stuck", get(stuck))
        .route("/upload", post(async |body: Bytes| body.len().to_string()))
        .route("/status/{code}", any(status))
        .route(
            "/missing",
            get(async || -> Result<()> { Err(Error::not_found("asset", "btc")) }),
        )
        .route("/fail", get(fail))
        .route("/upgrade", get(upgrade))
        .route("/panic", get(panic))
        .route(
            "/panic-in-body",
            get(async || Body::from_stream(chunks(1).chain(panicking()))),
        )
}

async fn wait(Path(micros): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_micros(micros)).await;
    "waited"
}

/// A body that comes in pieces.
fn chunks(count: usize) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::iter(0..count).then(async |_| {
        tokio::task::yield_now().await;
        Ok(Bytes::from_static(&[b'x'; 512]))
    })
}

async fn broken(Path(count): Path<usize>) -> Body {
    let failure = stream::iter([Err(io::Error::other("the source of the body broke"))]);
    Body::from_stream(chunks(count).chain(failure))
}

async fn endless() -> Sse<impl Stream<Item = std::result::Result<Event, Infallible>>> {
    Sse::new(stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_micros(200)).await;
        Ok(Event::default().data("tick"))
    }))
}

async fn status(Path(code): Path<u16>) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::IM_A_TEAPOT)
}

async fn fail() -> Result<()> {
    Err(io::Error::other("the disk is on fire"))
        .map_err(|error| Error::temporary("the store is away").with_source(error))
        .context("read the price")
}

pub(crate) async fn stuck() {
    tracing::info!("waiting for ever");
    std::future::pending::<()>().await;
}

/// Switches to a protocol that repeats what is said, as a websocket's handler would.
async fn upgrade(mut request: Request) -> Response {
    let upgraded = hyper::upgrade::on(&mut request);
    #[expect(
        clippy::disallowed_methods,
        reason = "it lives as long as the connection"
    )]
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgraded.await.unwrap());
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Body::empty())
        .unwrap()
}

async fn panic() {
    panic_quietly("the handler panicked")
}

fn panicking() -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::once(async { panic_quietly("the body panicked") })
}

/// Panics, but leaves the process's hook alone, which would print a backtrace each time.
pub(crate) fn panic_quietly(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
