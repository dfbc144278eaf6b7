//! A client that holds one connection, and loses it when it is dropped.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) type Body = BoxBody<Bytes, Infallible>;

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
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }
}
