//! What is stored under a key: a header of fixed size, then the message.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version of this layout |
//! | 1 | flags |
//! | 2..10 | tag of the message type |
//! | 10..18 | when it expires, in milliseconds since the Unix epoch; all ones for never |
//! | 18..22 | how long it took to load, in microseconds |
//! | 22..30 | version of the value as the caller counts; 0 for none |
//!
//! Numbers are big-endian, so that versions can be compared as bytes.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cqi_errors::{Error, Kind, Result};
use prost::{Message, Name};

use crate::clock;

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
    /// Microseconds, at most some 71 minutes; 0 for what was not loaded.
    pub(crate) cost: u32,
    /// 0 for none.
    pub(crate) version: u64,
}

impl Header {
    /// The header of a value that lives for this time from now on; `None` is for ever.
    pub(crate) fn new(tag: u64, ttl: Option<Duration>) -> Self {
        let expires_at = ttl.map_or(NEVER, |ttl| {
            let millis = u64::try_from(ttl.as_millis()).unwrap_or(NEVER);
            clock::unix_millis().saturating_add(millis)
        });
        Self {
            tag,
            absent: false,
            expires_at,
            cost: 0,
            version: 0,
        }
    }

    /// Takes the header off what is stored.
    pub(crate) fn take(stored: &mut Bytes) -> Result<Self, Rejected> {
        if stored.len() < HEADER || stored.get_u8() != LAYOUT {
            return Err(Rejected::Foreign);
        }
        let flags = stored.get_u8();
        if flags & !ABSENT != 0 {
            return Err(Rejected::Foreign);
        }
        Ok(Self {
            tag: stored.get_u64(),
            absent: flags & ABSENT != 0,
            expires_at: stored.get_u64(),
            cost: stored.get_u32(),
            version: stored.get_u64(),
        })
    }

    /// Whether the value is out of date at a time in milliseconds since the Unix epoch.
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.expires_at <= now
    }

    pub(crate) fn is_expired_now(&self) -> bool {
        self.expires_at != NEVER && self.is_expired(clock::unix_millis())
    }
}

/// Why what is stored is no value for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Not written by this crate, or by a later version of it.
    Foreign,
    /// Of another message type or schema.
    OtherType,
    TooLarge,
    Undecodable,
}

impl Rejected {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "not written by this version of cqi-cache",
            Self::OtherType => "of another message type or schema",
            Self::TooLarge => "larger than cache.max_value_size",
            Self::Undecodable => "does not decode",
        }
    }
}

/// A value as the backend has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) body: Bytes,
}

impl Entry {
    /// Reads what is under a key, if it is of this type and size.
    pub(crate) fn parse(mut stored: Bytes, tag: u64, limit: u64) -> Result<Self, Rejected> {
        let header = Header::take(&mut stored)?;
        if header.tag != tag {
            return Err(Rejected::OtherType);
        }
        if stored.len() as u64 > limit {
            return Err(Rejected::TooLarge);
        }
        Ok(Self {
            header,
            body: stored,
        })
    }

    /// Decodes the message. Fields of type `Bytes` share the memory of what was read.
    pub(crate) fn message<M: Message + Default>(self) -> Result<M, Rejected> {
        M::decode(self.body).map_err(|_| Rejected::Undecodable)
    }
}

/// Refuses a message that is too large to store.
///
/// # Errors
/// `InvalidInput` when the message has more than `limit` bytes.
pub(crate) fn check_size<M: Message>(message: &M, limit: u64) -> Result<()> {
    let len = message.encoded_len();
    if len as u64 <= limit {
        return Ok(());
    }
    Err(Error::new(
        Kind::InvalidInput,
        format!("the value has {len} bytes, more than the {limit} of cache.max_value_size"),
    ))
}

/// Writes a header and a message, in one allocation.
pub(crate) fn encode<M: Message>(header: &Header, message: &M) -> Bytes {
    let mut stored = BytesMut::with_capacity(HEADER + message.encoded_len());
    stored.put_u8(LAYOUT);
    stored.put_u8(if header.absent { ABSENT } else { 0 });
    stored.put_u64(header.tag);
    stored.put_u64(header.expires_at);
    stored.put_u32(header.cost);
    stored.put_u64(header.version);
    message.encode_raw(&mut stored);
    stored.freeze()
}

/// Whether a value has to give way to what is there: one of the same type with a higher version.
///
/// The script of the Redis backend says the same.
pub(crate) fn is_outdated_by(value: &[u8], there: &[u8]) -> bool {
    let part = |of: std::ops::Range<usize>| (value.get(of.clone()), there.get(of));
    let same = |(ours, theirs): (Option<&[u8]>, _)| ours == theirs;
    let (ours, theirs) = part(22..30);
    same(part(0..1)) && same(part(2..10)) && theirs > ours
}

/// The tag of a message type in a version of its schema: FNV-1a of its full name, and of the number
/// unless that is 0.
pub(crate) fn tag<M: Name>(schema: u32) -> u64 {
    let name = const {
        fnv(
            fnv(fnv(FNV, M::PACKAGE.as_bytes()), b"."),
            M::NAME.as_bytes(),
        )
    };
    match schema {
        0 => name,
        _ => fnv(fnv(name, b"#"), &schema.to_be_bytes()),
    }
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Price {
        #[prost(double, tag = "1")]
        value: f64,
    }

    impl Name for Price {
        const NAME: &'static str = "Price";
        const PACKAGE: &'static str = "test.v1";
    }

    const LIMIT: u64 = 1_000;

    fn header() -> Header {
        Header {
            tag: tag::<Price>(0),
            absent: false,
            expires_at: 0x0102_0304_0506_0708,
            cost: 0x090a_0b0c,
            version: 0x0d0e_0f10_1112_1314,
        }
    }

    /// What is in Redis now has to be readable by the next release, or a miss for it.
    #[test]
    fn the_layout_is_what_it_has_been() {
        let stored = encode(&header(), &Price { value: 1.5 });
        let expected = [
            1, 0, 0x95, 0x2f, 0x95, 0x39, 0x0b, 0xa1, 0x5a, 0x27, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
            11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f,
        ];
        assert_eq!(&stored[..], expected);
    }

    #[test]
    fn what_is_written_can_be_read() {
        for absent in [false, true] {
            let header = Header { absent, ..header() };
            let stored = encode(&header, &Price { value: 1.5 });
            let entry = Entry::parse(stored, header.tag, LIMIT).unwrap();
            assert_eq!(entry.header, header);
            assert_eq!(entry.message(), Ok(Price { value: 1.5 }));
        }
    }

    #[test]
    fn what_was_not_written_for_this_reader_is_rejected() {
        let stored = encode(&header(), &Price { value: 1.5 });
        let parse = |stored: &[u8], limit| {
            let stored = Bytes::copy_from_slice(stored);
            Entry::parse(stored, header().tag, limit).map(|_| ())
        };
        assert_eq!(parse(&stored, 9), Ok(()));
        assert_eq!(parse(&stored, 8), Err(Rejected::TooLarge));
        assert_eq!(parse(&stored[..HEADER], LIMIT), Ok(()));
        assert_eq!(parse(&stored[..HEADER - 1], LIMIT), Err(Rejected::Foreign));
        assert_eq!(parse(b"", LIMIT), Err(Rejected::Foreign));
        // Of a later release.
        for (at, value) in [(0, 2), (1, 2), (1, 0x80)] {
            let mut later = stored.to_vec();
            later[at] = value;
            assert_eq!(parse(&later, LIMIT), Err(Rejected::Foreign));
        }
        let mut other = stored.to_vec();
        other[9] ^= 1;
        assert_eq!(parse(&other, LIMIT), Err(Rejected::OtherType));
        let cut = Entry::parse(stored.slice(..HEADER + 5), header().tag, LIMIT).unwrap();
        assert_eq!(cut.message::<Price>(), Err(Rejected::Undecodable));
    }

    #[test]
    fn each_schema_has_a_tag() {
        let tags: std::collections::HashSet<_> = (0..10_000).map(tag::<Price>).collect();
        assert_eq!(tags.len(), 10_000);
    }

    #[test]
    fn an_end_is_the_first_moment_at_which_a_value_is_expired() {
        let header = Header {
            expires_at: 1_000,
            ..header()
        };
        assert!(!header.is_expired(999));
        assert!(header.is_expired(1_000));
        assert!(!Header::new(0, None).is_expired_now());
        let before = clock::unix_millis();
        let ttl = Header::new(0, Some(Duration::from_secs(5))).expires_at - before;
        assert!((5_000..10_000).contains(&ttl));
    }

    #[test]
    fn a_value_gives_way_to_a_higher_version_of_its_type_alone() {
        let stored = |version, tag| {
            encode(
                &Header {
                    version,
                    tag,
                    ..header()
                },
                &Price { value: 1.5 },
            )
        };
        let mine = stored(0x1ff, 7);
        assert!(is_outdated_by(&mine, &stored(0x200, 7)));
        assert!(!is_outdated_by(&mine, &stored(0x1ff, 7)));
        assert!(!is_outdated_by(&mine, &stored(0xff, 7)));
        assert!(!is_outdated_by(&mine, &stored(0x200, 8)));
        assert!(!is_outdated_by(&mine, b""));
        assert!(!is_outdated_by(&mine, &[0xff; 64]));
        assert!(!is_outdated_by(&mine, &stored(u64::MAX, 7)[..29]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_rejected(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..100),
            ours in any::<bool>(),
        ) {
            let header = header();
            if ours && bytes.len() >= 10 {
                bytes[..2].copy_from_slice(&[LAYOUT, 0]);
                bytes[2..10].copy_from_slice(&header.tag.to_be_bytes());
            }
            is_outdated_by(&bytes, &bytes);
            if let Ok(entry) = Entry::parse(bytes.clone().into(), header.tag, 50) {
                prop_assert!(entry.body.len() <= 50);
                prop_assert_eq!(&entry.body[..], &bytes[HEADER..]);
                let _ = entry.message::<Price>();
            }
        }
    }
}
