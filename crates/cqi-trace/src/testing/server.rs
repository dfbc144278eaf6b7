//! The receiving end of OTLP.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower_service::Service as _;

use super::collector::Shared;
use super::{Fault, ReceivedSpan};

/// Serves until the sender changes or is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let _ = stream.set_nodelay(true);
            shared.connected();
            connections.spawn(converse(stream, Arc::clone(&shared)));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    let hang_up = Arc::new(Notify::new());
    let receiver = Receiver {
        shared,
        hang_up: Arc::clone(&hang_up),
    };
    let service = service_fn(|request| answer(receiver.clone(), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        () = hang_up.notified() => {}
    }
}

async fn answer(
    receiver: Receiver,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.map_or(&b""[..], HeaderValue::as_bytes);
    match (request.uri().path(), kind) {
        (_, b"application/grpc") => TraceServiceServer::new(receiver).call(request).await,
        ("/v1/traces", b"application/x-protobuf") => Ok(receiver.over_http(request).await),
        ("/v1/traces", _) => Ok(empty(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
        _ => Ok(empty(StatusCode::NOT_FOUND)),
    }
}

#[derive(Clone)]
struct Receiver {
    shared: Arc<Shared>,
    hang_up: Arc<Notify>,
}

impl Receiver {
    async fn over_http(self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let Ok(batch) = ExportTraceServiceRequest::decode(body.to_bytes()) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        match self.receive(&head.headers, batch).await {
            Ok(reply) => {
                let mut response = empty(StatusCode::OK);
                let kind = HeaderValue::from_static("application/x-protobuf");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                let bytes = Bytes::from(reply.encode_to_vec());
                response.map(|_| Body::new(Full::new(bytes)))
            }
            Err(status) => refusal(&status),
        }
    }

    async fn receive(
        &self,
        headers: &http::HeaderMap,
        batch: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, Status> {
        let refused = |code| Status::new(code, "refused by the test");
        let mut rejected = 0;
        match self.shared.exported(headers) {
            Fault::None => {}
            Fault::Slow(delay) => tokio::time::sleep(delay).await,
            Fault::Silent => std::future::pending().await,
            Fault::HangUp => {
                self.hang_up.notify_one();
                std::future::pending::<()>().await;
            }
            Fault::Unavailable => return Err(refused(Code::Unavailable)),
            Fault::Throttle(delay) => {
                let details = ErrorDetails::with_retry_info(Some(delay));
                let text = "refused by the test";
                let code = Code::ResourceExhausted;
                return Err(Status::with_error_details(code, text, details));
            }
            Fault::TooLarge => return Err(refused(Code::ResourceExhausted)),
            Fault::Refuse => return Err(refused(Code::InvalidArgument)),
            Fault::Partial(spans) => rejected = spans,
        }
        let spans = ReceivedSpan::of(batch);
        let accepted = spans.len().saturating_sub(rejected as usize);
        self.shared.received(spans.into_iter().take(accepted));
        let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected.into(),
            error_message: "refused by the test".to_owned(),
        });
        Ok(ExportTraceServiceResponse { partial_success })
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, batch) = request.into_parts();
        let reply = self.receive(&metadata.into_headers(), batch).await?;
        Ok(tonic::Response::new(reply))
    }
}

/// Says over HTTP what a status of gRPC says.
fn refusal(status: &Status) -> Response<Body> {
    let delay = status.get_details_retry_info();
    let code = match (status.code(), &delay) {
        (Code::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Code::ResourceExhausted, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
        (Code::ResourceExhausted, None) => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = empty(code);
    if let Some(delay) = delay.and_then(|info| info.retry_delay) {
        let seconds = HeaderValue::from(delay.as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
