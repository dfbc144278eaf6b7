use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::varint::Reader;

/// One record: a view into its batch, which stays in memory while any of its records does.
///
/// Cloning is cheap. To keep one of many records for long, copy what is needed of it instead.
#[derive(Clone)]
pub struct Record {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) leader_epoch: i32,
    /// Lengths and places in `bytes`, which starts at the key and ends with the headers.
    pub(super) key: Option<u32>,
    pub(super) value_at: u32,
    pub(super) value: Option<u32>,
    pub(super) headers_at: u32,
    pub(super) header_count: u32,
    pub(super) bytes: Bytes,
}

impl Record {
    /// Returns the position in the partition.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.offset
    }

    /// Returns the timestamp in milliseconds since 1970, -1 when the producer gave none.
    #[must_use]
    pub const fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Returns the epoch of the leader that appended the record, -1 when unknown.
    #[must_use]
    pub const fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Returns the key, `None` when it is null.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.map(|len| &self.bytes[..len as usize])
    }

    /// Returns the value, `None` when it is null: in a compacted topic, the key's end.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        let at = self.value_at as usize;
        self.value.map(|len| &self.bytes[at..at + len as usize])
    }

    /// Returns the key as bytes of its own, without copying.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key().map(|key| self.bytes.slice_ref(key))
    }

    /// Returns the value as bytes of its own, without copying.
    #[must_use]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value().map(|value| self.bytes.slice_ref(value))
    }

    /// Returns the headers in the producer's order, repeated keys included.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers {
            reader: Reader::new(&self.bytes, self.headers_at as usize),
            left: self.header_count,
        }
    }

    /// Returns the value of the last header with this key: `Some(None)` when it is null, `None`
    /// when there is no such header.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<Option<&[u8]>> {
        let same = self.headers().filter(|header| header.key == key.as_bytes());
        same.last().map(|header| header.value)
    }

    /// Returns how many bytes of the batch the key, value and headers take.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Shows where the record is and how large, never what it says.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("leader_epoch", &self.leader_epoch)
            .field("key_len", &self.key)
            .field("value_len", &self.value)
            .field("headers", &self.header_count)
            .finish_non_exhaustive()
    }
}

/// A record's headers, read as they are asked for.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    reader: Reader<'a>,
    left: u32,
}

impl<'a> Headers<'a> {
    /// Reads one; the batch's iterator has checked that all are well formed.
    fn read(&mut self) -> Option<Header<'a>> {
        let key = self.reader.nullable_len()??;
        let key = self.reader.take(key)?;
        let value = match self.reader.nullable_len()? {
            Some(len) => Some(self.reader.take(len)?),
            None => None,
        };
        Some(Header { key, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.read()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}
impl std::iter::FusedIterator for Headers<'_> {}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// The key as sent; the protocol says UTF-8, brokers do not check.
    pub key: &'a [u8],
    /// The value, `None` when it is null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Returns the key as text, what is not UTF-8 replaced as in the Java client.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}
