//! A service over gRPC, without generated code, whose caller chooses how each call goes.

use std::convert::Infallible;
use std::future::Ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use cqi_trace::TraceClientLayer;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{Request, Response, Version};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService};
use tonic::{Status, Streaming};
use tower::{Layer as _, Service, service_fn};

use crate::client::{Client, get};
use crate::http_service::{panic_quietly, stuck};

/// Messages that are bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(input.copy_to_bytes(input.remaining())))
    }
}

/// The service `test.Calls`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Whom to ask for `Relay`, and what each request goes through.
    pub(crate) relay: Option<(SocketAddr, TraceClientLayer)>,
}

impl NamedService for Calls {
    const NAME: &'static str = "test.Calls";
}

impl Service<Request<Body>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let relay = self.relay.clone();
        Box::pin(async move { Ok(answer(request, relay).await) })
    }
}

type Chunks = BoxStream<'static, Result<Bytes, Status>>;

async fn answer(
    request: Request<Body>,
    relay: Option<(SocketAddr, TraceClientLayer)>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let mut grpc = Grpc::new(Raw);
    match path.strip_prefix("/test.Calls/").unwrap_or_default() {
        "Echo" => {
            let echo = |call: tonic::Request<Bytes>| reply(Ok(call.into_inner()));
            grpc.unary(service_fn(echo), request).await
        }
        // The message is a path.
        "Relay" => {
            let ask = |call: tonic::Request<Bytes>| relayed(call, relay.clone());
            grpc.unary(service_fn(ask), request).await
        }
        // The message is the number of a status.
        "Fail" => {
            let fail = |call: tonic::Request<Bytes>| {
                let code = call.get_ref().first().copied().unwrap_or(2);
                reply::<Bytes>(Err(Status::new(i32::from(code).into(), "as was asked")))
            };
            grpc.unary(service_fn(fail), request).await
        }
        "Stuck" => {
            let stuck = |_: tonic::Request<Bytes>| async {
                stuck().await;
                Ok(tonic::Response::new(Bytes::new()))
            };
            grpc.unary(service_fn(stuck), request).await
        }
        "Panic" => {
            let panic =
                |_: tonic::Request<Bytes>| -> Ready<Result<tonic::Response<Bytes>, Status>> {
                    panic_quietly("the handler panicked")
                };
            grpc.unary(service_fn(panic), request).await
        }
        // The message is the number of answers; a status of its own comes last.
        "Chunks" => {
            let chunks = |call: tonic::Request<Bytes>| {
                let count = call.get_ref().first().copied().unwrap_or(0);
                let chunks = stream::iter(0..count).then(async |_| {
                    tokio::task::yield_now().await;
                    Ok(Bytes::from_static(&[b'x'; 256]))
                });
                reply(Ok(chunks.boxed() as Chunks))
            };
            grpc.server_streaming(service_fn(chunks), request).await
        }
        "Endless" => {
            let endless = |_: tonic::Request<Bytes>| {
                let ticks = stream::repeat(()).then(async |()| {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                    Ok(Bytes::from_static(b"tick"))
                });
                reply(Ok(ticks.boxed() as Chunks))
            };
            grpc.server_streaming(service_fn(endless), request).await
        }
        "Upload" => {
            let upload = |call: tonic::Request<Streaming<Bytes>>| async move {
                let mut call = call.into_inner();
                let mut bytes = 0;
                while let Some(message) = call.message().await? {
                    bytes += message.len();
                }
                Ok(tonic::Response::new(Bytes::from(bytes.to_string())))
            };
            grpc.client_streaming(service_fn(upload), request).await
        }
        _ => Status::unimplemented("no such method").into_http(),
    }
}

async fn relayed(
    call: tonic::Request<Bytes>,
    relay: Option<(SocketAddr, TraceClientLayer)>,
) -> Result<tonic::Response<Bytes>, Status> {
    let path = String::from_utf8_lossy(call.get_ref()).into_owned();
    let (address, layer) = relay.ok_or_else(|| Status::unavailable("nobody to ask"))?;
    let client = Client::connect(address, Version::HTTP_11).await;
    let answer = layer.layer(client).call(get(&path)).await;
    let answer = answer.map_err(|error| Status::from_error(error.into()))?;
    Ok(tonic::Response::new(answer.status().to_string().into()))
}

fn reply<T>(result: Result<T, Status>) -> Ready<Result<tonic::Response<T>, Status>> {
    std::future::ready(result.map(tonic::Response::new))
}

/// Frames a message.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}
