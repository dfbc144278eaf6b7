use std::fmt;

use bytes::{Bytes, BytesMut};
use cqi_errors::{Error, Result};
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::{
    Encodable, HeaderVersion, StrBytes, encode_request_header_into_buffer,
};

use super::Reader;

/// The versions of an API, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Versions {
    pub(crate) const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// The highest version of both.
    pub(crate) fn common(self, other: Self) -> Option<i16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// A request of which we know how to read the answer.
pub(crate) trait Api: Encodable + HeaderVersion + Send + Sync {
    const KEY: ApiKey;
    /// What we speak. All but SASL's handshake are flexible versions.
    const VERSIONS: Versions;
    type Answer: Answer;
}

/// What a broker answers.
pub(crate) trait Answer: Sized + Send + 'static {
    /// Reads the body: what follows the response header.
    fn read(reader: &mut Reader, version: i16) -> Result<Self>;

    /// How long the broker wants to hear nothing on this connection (`throttle_time_ms`).
    fn throttle_ms(&self) -> i32 {
        0
    }
}

/// Writes a whole frame: length, header and body.
pub(crate) fn encode<R: Api>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &StrBytes,
) -> Result<Bytes> {
    let _ = (
        request,
        version,
        correlation_id,
        client_id,
        RequestHeader::default(),
    );
    let _ = (
        BytesMut::new(),
        encode_request_header_into_buffer::<BytesMut>,
    );
    Err(Error::permanent("not built yet"))
}
