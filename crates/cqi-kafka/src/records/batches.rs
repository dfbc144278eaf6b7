use bytes::Bytes;
use cqi_errors::{Error, Result};

use super::header::{CRC_AT, CRC_FROM, LEN, LOG_OVERHEAD, MAGIC, MAGIC_AT, at, corrupt};
use super::{Batch, BatchHeader};

/// Splits a fetch reply's `records` into batches.
///
/// A broker cuts its reply at a number of bytes, so the last batch may be incomplete: that ends the
/// iteration, and [`is_truncated`](Self::is_truncated) tells. An error ends it too: what follows a
/// corrupt batch cannot be trusted to start where it seems to.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    check_crcs: bool,
    truncated: bool,
}

impl Batches {
    /// Starts at the front of the bytes.
    #[must_use]
    pub const fn new(records: Bytes) -> Self {
        Self {
            rest: records,
            check_crcs: true,
            truncated: false,
        }
    }

    /// Sets whether checksums are verified (`check.crcs` in Java); the default is true.
    #[must_use]
    pub const fn with_check_crcs(mut self, check: bool) -> Self {
        self.check_crcs = check;
        self
    }

    /// Tells whether the iteration ended at an incomplete batch, which the next fetch brings whole.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Cuts the next batch off, `None` at the end or at an incomplete one.
    fn split(&mut self) -> Result<Option<Batch>> {
        if self.rest.len() <= MAGIC_AT {
            self.truncated = !self.rest.is_empty();
            return Ok(None);
        }
        let base = i64::from_be_bytes(at(&self.rest, 0));
        let length = i32::from_be_bytes(at(&self.rest, 8));
        let magic = self.rest[MAGIC_AT];
        if magic != MAGIC {
            return Err(old_magic(base, magic));
        }
        let length = usize::try_from(length).unwrap_or(0);
        if length < LEN - LOG_OVERHEAD {
            return Err(corrupt(base, format_args!("its length is {length}")));
        }
        // A batch is at most 2 GiB, the sum fits 32 bits.
        let total = LOG_OVERHEAD + length;
        if self.rest.len() < total {
            self.truncated = true;
            return Ok(None);
        }
        let bytes = self.rest.split_to(total);
        let stated = u32::from_be_bytes(at(&bytes, CRC_AT));
        let header = BatchHeader::read(&at(&bytes, 0))?;
        if self.check_crcs {
            let found = crc32c::crc32c(&bytes[CRC_FROM..]);
            if found != stated {
                return Err(corrupt(
                    base,
                    format_args!("its checksum is {found:08x}, {stated:08x} was written"),
                ));
            }
        }
        Ok(Some(Batch::new(header, bytes)))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.split().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.rest = Bytes::new();
        }
        next
    }
}

impl std::iter::FusedIterator for Batches {}

/// Since `Fetch` 4 a broker converts old batches up, so an old one is another peer's or garbage.
#[cold]
fn old_magic(base_offset: i64, magic: u8) -> Error {
    Error::permanent(format!(
        "the record batch at offset {base_offset} has magic {magic}, only 2 (Kafka 0.11 and later) \
         is read; brokers store it once the topic's message format is 2"
    ))
}
