//! The layers on a tonic server, with a service written without generated code.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as AnyBody;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use cqi_tower::{Ending, GrpcStatus};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status};
use tower::{Service, service_fn};

use crate::recorder::{End, Recorder};
use crate::server::{Client, Server, Version, request, serve_grpc};

/// Messages are plain text.
struct Text;

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

#[derive(Clone)]
pub(crate) struct Tiny;

impl NamedService for Tiny {
    const NAME: &'static str = "test.Tiny";
}

type Message = Result<String, Status>;

async fn unary(call: tonic::Request<String>) -> Result<tonic::Response<String>, Status> {
    match call.get_ref().as_str() {
        "fail" => Err(cqi_errors::Error::not_found("asset", "x").into()),
        "panic" => panic!("the method panicked"),
        "wait" => pending().await,
        _ => Ok(tonic::Response::new(call.into_inner())),
    }
}

async fn streaming(
    call: tonic::Request<String>,
) -> Result<tonic::Response<BoxStream<'static, Message>>, Status> {
    let first = stream::iter([Ok("one".to_owned())]);
    let rest = match call.get_ref().as_str() {
        "fail" => stream::iter([Err(Status::unavailable("later"))]).boxed(),
        "panic" => stream::once(async {
            // tonic keeps what was not sent yet to itself.
            tokio::task::yield_now().await;
            panic!("the stream panicked")
        })
        .boxed(),
        "wait" => stream::pending().boxed(),
        _ => stream::iter([Ok("two".to_owned())]).boxed(),
    };
    Ok(tonic::Response::new(first.chain(rest).boxed()))
}

impl Service<Request<tonic::body::Body>> for Tiny {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        async move {
            let mut grpc = Grpc::new(Text);
            Ok(match request.uri().path() {
                "/test.Tiny/Unary" => grpc.unary(service_fn(unary), request).await,
                "/test.Tiny/Stream" => grpc.server_streaming(service_fn(streaming), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        }
        .boxed()
    }
}

async fn start() -> (Server, Client, Recorder) {
    let recorder = Recorder::new();
    let server = serve_grpc(&recorder, Tiny).await;
    let client = Client::connect(Version::Http2, &server).await;
    (server, client, recorder)
}

fn call(path: &str, message: &str) -> Request<AnyBody> {
    let mut frame = BytesMut::from(&[0][..]);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message.as_bytes());
    let mut request = request("POST", path);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
    headers.insert(header::TE, "trailers".parse().unwrap());
    *request.body_mut() = AnyBody::from(frame.freeze());
    request
}

/// Returns the messages and the status, from the trailers or the head.
async fn finish(response: Response<hyper::body::Incoming>) -> (Bytes, HeaderMap) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (body.to_bytes(), trailers.unwrap_or(head.headers))
}

async fn ended(recorder: &Recorder, count: usize) -> End {
    let ends = recorder.until_ended(count).await;
    assert_eq!((recorder.started(), ends.len()), (count, count));
    ends.into_iter().next_back().unwrap()
}

#[tokio::test]
async fn each_status_is_seen_wherever_it_is_sent() {
    let cases = [
        ("/test.Tiny/Unary", "hello", Code::Ok, 10),
        ("/test.Tiny/Unary", "fail", Code::NotFound, 0),
        ("/test.Tiny/Unary", "panic", Code::Internal, 0),
        ("/test.Tiny/Stream", "", Code::Ok, 16),
        ("/test.Tiny/Stream", "fail", Code::Unavailable, 8),
        ("/test.Tiny/Stream", "panic", Code::Internal, 8),
        ("/test.Tiny/Missing", "", Code::Unimplemented, 0),
        ("/test.Other/Unary", "", Code::Unimplemented, 0),
    ];
    let (_server, mut client, recorder) = start().await;
    for (count, (path, message, code, size)) in (1..).zip(cases) {
        let response = client.send(call(path, message)).await.unwrap();
        assert_eq!(response.headers()["x-observed"], "yes");
        let (messages, status) = finish(response).await;
        assert_eq!(status["grpc-status"], i32::from(code).to_string().as_str());
        assert_eq!(messages.len(), size, "{path} {message}");

        let end = ended(&recorder, count).await;
        assert_eq!((end.ending, end.status), (Ending::Complete, 200));
        assert_eq!(i32::from(end.grpc.unwrap().code()), i32::from(code));
        assert_eq!(end.response_size, size as u64);
        let method = (code != Code::Unimplemented).then_some(&path[1..]);
        assert_eq!(end.grpc_method.as_deref(), method);
        if code == Code::Internal {
            assert_eq!(status["grpc-message"], "internal error");
        }
        if (path, message) == ("/test.Tiny/Unary", "panic") {
            let error = end.error.unwrap();
            assert_eq!(error, "panicked in the future: the method panicked");
        } else if code == Code::NotFound {
            assert_eq!(end.error.as_deref(), Some("asset x not found"));
        }
    }
}

#[tokio::test]
async fn a_caller_that_leaves_or_runs_out_of_time_is_told_apart() {
    for (timeout, expected) in [
        (None, GrpcStatus::CANCELLED),
        (Some("1H"), GrpcStatus::CANCELLED),
        (Some("1m"), GrpcStatus::DEADLINE_EXCEEDED),
    ] {
        let (_server, mut client, recorder) = start().await;
        let mut call = call("/test.Tiny/Unary", "wait");
        if let Some(timeout) = timeout {
            let value = timeout.parse().unwrap();
            call.headers_mut().insert("grpc-timeout", value);
        }
        let leaves = recorder.until_started(1);
        tokio::select! {
            // tonic drops the call when its time is over, and answers itself.
            answer = client.send(call) => assert!(answer.unwrap().headers().contains_key("grpc-status")),
            () = leaves, if timeout != Some("1m") => {}
        }
        drop(client);
        let end = ended(&recorder, 1).await;
        assert_eq!((end.ending, end.head), (Ending::Cancelled, None));
        assert_eq!(end.grpc, Some(expected), "{timeout:?}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_amid_a_stream_cancels() {
    let (_server, mut client, recorder) = start().await;
    let call = call("/test.Tiny/Stream", "wait");
    let mut body = client.send(call).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    drop(body);
    let end = ended(&recorder, 1).await;
    assert_eq!((end.ending, end.head), (Ending::Cancelled, Some(200)));
    assert_eq!(
        (end.grpc, end.response_size),
        (Some(GrpcStatus::CANCELLED), 8)
    );
}
