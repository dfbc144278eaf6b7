//! A client that holds one connection, and loses it when it is dropped.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower::Service;

use crate::grpc::frame;

pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// Makes a request with an id.
pub(crate) fn ask(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("http://service.test{path}"))
        .header("host", "service.test")
        .header("x-request-id", "the-one")
        .body(Full::new(body.into()).boxed())
        .unwrap()
}

pub(crate) fn get(path: &str) -> Request<Body> {
    ask(Method::GET, path, "")
}

/// Makes a call of a method of `test.Calls`.
pub(crate) fn call(method: &str, message: &[u8]) -> Request<Body> {
    let path = format!("/test.Calls/{method}");
    let mut request = ask(Method::POST, &path, frame(message));
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    request
}

#[derive(Debug)]
pub(crate) struct Client {
    sender: Sender,
    _connection: JoinSet<hyper::Result<()>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        let mut connection = JoinSet::new();
        let sender = if version == Version::HTTP_2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
            connection.spawn(driver);
            Sender::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(stream).await.unwrap();
            connection.spawn(driver.with_upgrades());
            Sender::Http1(sender)
        };
        Self {
            sender,
            _connection: connection,
        }
    }

    /// Sends a request, and returns with the head of the response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await?,
            Sender::Http2(sender) => sender.ready().await?,
        }
        self.call(request).await
    }
}

impl Service<Request<Body>> for Client {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match &mut self.sender {
            Sender::Http1(sender) => Box::pin(sender.send_request(request)),
            Sender::Http2(sender) => Box::pin(sender.send_request(request)),
        }
    }
}
