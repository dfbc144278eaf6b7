//! Servers and clients over the loopback interface, all on the test's own thread, whose traces and
//! logs are captured.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::{Buf as _, BufMut as _, Bytes};
use cqi_trace::{TraceClientLayer, TraceLayer, Tracing};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server as GrpcServer};
use tonic::{Code, Status};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

/// A server that stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Server {
    /// Serves a router as it is.
    pub(crate) async fn http(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async { axum::serve(listener, router).await.unwrap() };
        Self::run(address, serve)
    }

    /// Serves gRPC, traced: `/test.Prices/Get` answers with the handler's text.
    pub(crate) async fn grpc(tracing: &Tracing, handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = GrpcServer::builder()
            .layer(TraceLayer::new(tracing))
            .add_service(Prices(handler))
            .serve_with_incoming(TcpIncoming::from(listener));
        Self::run(address, async { serve.await.unwrap() })
    }

    fn run(address: SocketAddr, serve: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut task = JoinSet::new();
        task.spawn(serve);
        Self {
            address,
            _task: task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address).parse().unwrap()
    }
}

/// Makes requests over HTTP/1, with or without a layer.
#[derive(Clone)]
pub(crate) struct Client(Option<TraceClientLayer>, HttpClient<HttpConnector, Body>);

impl Client {
    pub(crate) fn plain() -> Self {
        Self(None, HttpClient::builder(TokioExecutor::new()).build_http())
    }

    pub(crate) fn traced(tracing: &Tracing) -> Self {
        Self(Some(TraceClientLayer::new(tracing)), Self::plain().1)
    }

    pub(crate) async fn get(&self, uri: Uri) -> (u16, Bytes) {
        self.send(Request::get(uri)).await
    }

    pub(crate) async fn send(&self, request: http::request::Builder) -> (u16, Bytes) {
        let request = request.body(Body::empty()).unwrap();
        match &self.0 {
            Some(layer) => {
                let response = layer.layer(self.1.clone()).oneshot(request).await.unwrap();
                let (head, body) = response.into_parts();
                (
                    head.status.as_u16(),
                    body.collect().await.unwrap().to_bytes(),
                )
            }
            None => {
                let (head, body) = self.1.request(request).await.unwrap().into_parts();
                (
                    head.status.as_u16(),
                    body.collect().await.unwrap().to_bytes(),
                )
            }
        }
    }
}

/// Calls a gRPC method, traced.
pub(crate) async fn call(
    tracing: &Tracing,
    server: &Server,
    method: &'static str,
    message: &str,
) -> Result<String, Status> {
    let layer = TraceClientLayer::new(tracing).server("prices.internal", server.address.port());
    let mut grpc = tonic::client::Grpc::new(layer.layer(channel(server)));
    grpc.ready()
        .await
        .map_err(|_| Status::new(Code::Unavailable, "not ready"))?;
    let request = tonic::Request::new(message.to_owned());
    let path = http::uri::PathAndQuery::from_static(method);
    Ok(grpc.unary(request, path, Text).await?.into_inner())
}

pub(crate) fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address));
    endpoint.unwrap().connect_lazy()
}

type Handler =
    Arc<dyn Fn(HeaderMap, String) -> BoxFuture<'static, Result<String, Status>> + Send + Sync>;

#[derive(Clone)]
struct Prices(Handler);

impl NamedService for Prices {
    const NAME: &'static str = "test.Prices";
}

impl Service<Request<tonic::body::Body>> for Prices {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let Self(handler) = self.clone();
        async move {
            if request.uri().path() != "/test.Prices/Get" {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let get = service_fn(move |call: tonic::Request<String>| {
                let headers = call.metadata().clone().into_headers();
                handler(headers, call.into_inner()).map(|reply| reply.map(tonic::Response::new))
            });
            Ok(tonic::server::Grpc::new(Text).unary(get, request).await)
        }
        .boxed()
    }
}

/// Messages are plain text.
pub(crate) struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}
