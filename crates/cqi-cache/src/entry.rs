//! What is stored under a key: a header of fixed size, then the message.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version of this layout |
//! | 1 | flags |
//! | 2..10 | tag of the message type |
//! | 10..18 | when it expires, in milliseconds since the Unix epoch; all ones for never |
//! | 18..22 | how long it took to load, in milliseconds |
//! | 22..30 | version of the value as the caller counts; 0 for none |
//!
//! Numbers are big-endian, so that versions can be compared as bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cqi_errors::{Error, Kind, Result};
use prost::{Message, Name};

pub(crate) const HEADER: usize = 30;
pub(crate) const NEVER: u64 = u64::MAX;
const LAYOUT: u8 = 1;
/// The loader said that there is no such thing.
const ABSENT: u8 = 1;

/// The header of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) tag: u64,
    pub(crate) absent: bool,
    /// Milliseconds since the Unix epoch, or [`NEVER`].
    pub(crate) expires_at: u64,
    /// Milliseconds.
    pub(crate) cost: u32,
    /// 0 for none.
    pub(crate) version: u64,
}

/// A value as the backend has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) body: Bytes,
}

impl Entry {
    /// Reads what is under a key; `None` where something else put it there.
    pub(crate) fn parse(mut stored: Bytes) -> Option<Self> {
        if stored.len() < HEADER || stored.get_u8() != LAYOUT {
            return None;
        }
        let flags = stored.get_u8();
        if flags & !ABSENT != 0 {
            return None;
        }
        let header = Header {
            tag: stored.get_u64(),
            absent: flags & ABSENT != 0,
            expires_at: stored.get_u64(),
            cost: stored.get_u32(),
            version: stored.get_u64(),
        };
        Some(Self {
            header,
            body: stored,
        })
    }

    /// Whether the value is out of date at a time in milliseconds since the Unix epoch.
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.header.expires_at <= now
    }

    /// Decodes the message; `None` where it is of another type or broken.
    ///
    /// Fields of type `Bytes` share the memory of what was read.
    pub(crate) fn message<M: Message + Name + Default>(&self) -> Option<M> {
        if self.header.tag != tag::<M>() || self.header.absent {
            return None;
        }
        M::decode(self.body.clone()).ok()
    }
}

/// Writes a header and a message, in one allocation.
///
/// # Errors
/// `InvalidInput` when the message has more than `limit` bytes.
pub(crate) fn encode<M: Message>(
    header: &Header,
    message: Option<&M>,
    limit: u64,
) -> Result<Bytes> {
    let len = message.map_or(0, Message::encoded_len);
    if len as u64 > limit {
        return Err(Error::new(
            Kind::InvalidInput,
            format!("the value has {len} bytes, but cache.max_value_size is {limit}"),
        ));
    }
    let mut stored = BytesMut::with_capacity(HEADER + len);
    stored.put_u8(LAYOUT);
    stored.put_u8(if header.absent { ABSENT } else { 0 });
    stored.put_u64(header.tag);
    stored.put_u64(header.expires_at);
    stored.put_u32(header.cost);
    stored.put_u64(header.version);
    if let Some(message) = message {
        message.encode_raw(&mut stored);
    }
    Ok(stored.freeze())
}

/// The tag of a message type: FNV-1a of its full name.
pub(crate) const fn tag<M: Name>() -> u64 {
    let hash = fnv(0xcbf2_9ce4_8422_2325, M::PACKAGE.as_bytes());
    fnv(fnv(hash, b"."), M::NAME.as_bytes())
}

const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}
