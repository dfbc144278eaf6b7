//! Real servers and clients over loopback.

use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Body as AnyBody;
use bytes::Bytes;
use cqi_errors::BoxError;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::Service;

/// A server that ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

pub(crate) const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// Serves with plain hyper.
pub(crate) async fn serve<S, B>(version: Version, service: S) -> Server
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (io, service) = (TokioIo::new(stream), service.clone());
            let service = TowerToHyperService::new(service);
            connections.spawn(async move {
                // A connection that a client or a panic breaks is part of the tests.
                let _ = match version {
                    Version::Http1 => {
                        let server = hyper::server::conn::http1::Builder::new();
                        server.serve_connection(io, service).with_upgrades().await
                    }
                    Version::Http2 => {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        server.serve_connection(io, service).await
                    }
                };
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Server {
        address,
        _tasks: tasks,
    }
}

/// Serves with tonic, whose layers are `layers`.
pub(crate) async fn serve_grpc(
    recorder: &crate::recorder::Recorder,
    service: crate::grpc::Tiny,
) -> Server {
    let incoming = tonic::transport::server::TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into());
    let incoming = incoming.unwrap();
    let address = incoming.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    let server = tonic::transport::Server::builder()
        .layer(cqi_tower::ObserveLayer::new(recorder.clone()))
        .layer(cqi_tower::RecoverLayer::new())
        .add_service(service);
    tasks.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    Server {
        address,
        _tasks: tasks,
    }
}

/// One connection; it breaks when it is dropped.
pub(crate) struct Client {
    sender: Sender,
    _connection: JoinSet<()>,
}

enum Sender {
    Http1(conn::http1::SendRequest<AnyBody>),
    Http2(conn::http2::SendRequest<AnyBody>),
}

impl Client {
    pub(crate) async fn connect(version: Version, server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let io = TokioIo::new(stream);
        let mut connection = JoinSet::new();
        let sender = match version {
            Version::Http1 => {
                let (sender, driver) = conn::http1::handshake(io).await.unwrap();
                connection.spawn(async { drop(driver.with_upgrades().await) });
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let (sender, driver) = conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .unwrap();
                connection.spawn(async { drop(driver.await) });
                Sender::Http2(sender)
            }
        };
        Self {
            sender,
            _connection: connection,
        }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<AnyBody>,
    ) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Sends a request without a body.
    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<Response<Incoming>> {
        self.send(request("GET", path)).await
    }
}

pub(crate) fn request(method: &str, path: &str) -> Request<AnyBody> {
    let request = Request::builder().method(method).header("host", "test");
    let uri = format!("http://test{path}");
    request.uri(uri).body(AnyBody::empty()).unwrap()
}
