use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use cqi_errors::{Error, Result};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};

use super::field::Field;
use super::reader::{Malformed, Reader};

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
        match self.min == self.max {
            true => write!(f, "{}", self.min),
            false => write!(f, "{} to {}", self.min, self.max),
        }
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
pub(crate) trait Answer: Field + Send + 'static {
    /// How long the broker wants to hear nothing on this connection (`throttle_time_ms`).
    fn throttle_ms(&self) -> i32 {
        0
    }
}

/// Writes a whole frame: length, header and body.
///
/// # Errors
///
/// `Permanent` when a string or the whole is longer than the protocol can say.
pub(crate) fn encode<R: Api>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &StrBytes,
) -> Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(client_id.clone()));
    let header_version = R::header_version(version);
    let unfit = |why: &dyn fmt::Display| {
        let api = R::KEY;
        Error::permanent(format!(
            "cannot write a {api:?} request of version {version}: {why}"
        ))
    };
    let head = header
        .compute_size(header_version)
        .map_err(|why| unfit(&why))?;
    let body = request.compute_size(version).map_err(|why| unfit(&why))?;
    let mut frame = BytesMut::with_capacity(size_of::<i32>() + head + body);
    frame.put_i32(0);
    header
        .encode(&mut frame, header_version)
        .map_err(|why| unfit(&why))?;
    request
        .encode(&mut frame, version)
        .map_err(|why| unfit(&why))?;
    let length = i32::try_from(frame.len() - size_of::<i32>())
        .map_err(|_| unfit(&"it has more than 2 GiB"))?;
    frame[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// Reads the correlation id with which an answer begins.
pub(crate) fn correlation_id(frame: &Bytes) -> Option<i32> {
    frame.first_chunk().copied().map(i32::from_be_bytes)
}

/// Reads an answer: a frame without its length, to a request that was sent in this version.
///
/// Beside the frame it takes no more memory than so much. Bytes after the answer are ignored.
///
/// # Errors
///
/// `Permanent` when the frame does not hold such an answer: where the frame ends says that what
/// comes next is one again, but who sends this is no broker that we understand.
pub(crate) fn decode<R: Api>(frame: Bytes, version: i16, room: usize) -> Result<R::Answer> {
    let flexible = R::header_version(version) >= FLEXIBLE_HEADER;
    let mut reader = Reader::new(frame, version, flexible, room);
    read::<R>(&mut reader).map_err(|malformed| {
        let (field, byte) = reader.position();
        Error::permanent(format!(
            "the broker's {:?} answer of version {version} is malformed: {field} {} at byte {byte} of {}; \
             check that the address is that of a Kafka broker",
            R::KEY,
            malformed.as_str(),
            reader.len(),
        ))
    })
}

/// The first header of requests that has tagged fields.
const FLEXIBLE_HEADER: i16 = 2;

fn read<R: Api>(reader: &mut Reader) -> std::result::Result<R::Answer, Malformed> {
    reader.field::<i32>("correlation_id", 0)?;
    // A broker that does not know the version of this request answers in the first one, and so that
    // it can be read by those who know only that one, its header never has tagged fields.
    if R::KEY != ApiKey::ApiVersions {
        reader.tagged_fields(|_, _| Ok(()))?;
    } else if reader.peek() == Some(UNSUPPORTED_VERSION) {
        reader.switch_to(0, false);
    }
    R::Answer::read(reader)
}

const UNSUPPORTED_VERSION: [u8; 2] = ResponseError::UnsupportedVersion.code().to_be_bytes();
