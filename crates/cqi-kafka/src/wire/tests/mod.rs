mod allocations;
mod draw;
mod encode;
mod golden;
mod hostile;
mod oracle;
mod respond;

pub(crate) use draw::Draw;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use super::Api;
use respond::Respond;

/// What an answer may take.
const ROOM: usize = 100 << 20;

/// Calls a generic function for each API.
macro_rules! each_api {
    ($call:ident($($argument:expr),*)) => {
        [
            $call::<kafka_protocol::messages::ApiVersionsRequest>($($argument),*),
            $call::<kafka_protocol::messages::FetchRequest>($($argument),*),
            $call::<kafka_protocol::messages::FindCoordinatorRequest>($($argument),*),
            $call::<kafka_protocol::messages::HeartbeatRequest>($($argument),*),
            $call::<kafka_protocol::messages::InitProducerIdRequest>($($argument),*),
            $call::<kafka_protocol::messages::JoinGroupRequest>($($argument),*),
            $call::<kafka_protocol::messages::LeaveGroupRequest>($($argument),*),
            $call::<kafka_protocol::messages::ListOffsetsRequest>($($argument),*),
            $call::<kafka_protocol::messages::MetadataRequest>($($argument),*),
            $call::<kafka_protocol::messages::OffsetCommitRequest>($($argument),*),
            $call::<kafka_protocol::messages::OffsetFetchRequest>($($argument),*),
            $call::<kafka_protocol::messages::ProduceRequest>($($argument),*),
            $call::<kafka_protocol::messages::SaslAuthenticateRequest>($($argument),*),
            $call::<kafka_protocol::messages::SaslHandshakeRequest>($($argument),*),
            $call::<kafka_protocol::messages::SyncGroupRequest>($($argument),*),
        ]
    };
}

use each_api;

fn any_version<R: Api>(rng: &mut Rng) -> i16 {
    rng.i16(R::VERSIONS.min..=R::VERSIONS.max)
}

/// An answer as a broker writes it, by kafka-protocol: without the length.
fn frame<R: Respond>(answer: &R::Answer, version: i16, rng: &mut Rng) -> Bytes {
    let header = ResponseHeader::default().with_correlation_id(7);
    let mut frame = BytesMut::new();
    header
        .encode(&mut frame, R::Response::header_version(version))
        .unwrap();
    R::respond(answer, rng).encode(&mut frame, version).unwrap();
    frame.freeze()
}
