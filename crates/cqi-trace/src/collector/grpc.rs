//! OTLP over gRPC.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Request, Status};
use tonic_types::StatusExt as _;

use super::{HttpClient, Refusal, Reply, chain};

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub(super) async fn send(
    client: HttpClient,
    endpoint: &Uri,
    headers: HeaderMap,
    batch: Bytes,
) -> Result<Reply, Refusal> {
    let mut grpc = tonic::client::Grpc::with_origin(client, endpoint.clone());
    let metadata = MetadataMap::from_headers(headers);
    let request = Request::from_parts(metadata, Extensions::default(), batch);
    // A client of this kind is always ready.
    let path = PathAndQuery::from_static(METHOD);
    let response = grpc
        .unary(request, path, Encoded)
        .await
        .map_err(|status| refusal(&status))?;
    Ok(response.into_inner().into())
}

fn refusal(status: &Status) -> Refusal {
    use std::error::Error as _;

    // A status that was sent has no source: this one stands for a connection that failed.
    if let Some(source) = status.source() {
        return Refusal {
            cause: chain(source),
            retry_after: Some(Duration::ZERO),
        };
    }
    let asked = status.get_details_retry_info();
    let asked = asked.map(|info| info.retry_delay.unwrap_or_default());
    // As OTLP's specification has it.
    let retry_after = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Some(asked.unwrap_or_default()),
        // Without a delay it is for good, such as a message that is too large.
        Code::ResourceExhausted => asked,
        _ => None,
    };
    Refusal {
        cause: format!("{:?}: {}", status.code(), status.message()),
        retry_after,
    }
}

/// Sends a message that is encoded already, so that a second try need not do it again.
#[derive(Clone, Copy, Debug)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let message = message.copy_to_bytes(message.remaining());
        let decoded = ExportTraceServiceResponse::decode(message);
        let unreadable = |error: prost::DecodeError| Status::internal(error.to_string());
        decoded.map(Some).map_err(unreadable)
    }
}
