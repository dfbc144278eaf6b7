use bytes::{Bytes, BytesMut};
use cqi_errors::{Error, Result};

use super::header::{CRC_AT, CRC_FROM, LEN, LOG_OVERHEAD};
use super::{BatchHeader, Compression, NewRecord, Producer, varint};

/// How a [`BatchBuilder`] writes.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Codec of the records (`compression.type`); the default is none.
    pub compression: Compression,
    /// Effort of gzip from 0 to 9, 9 also above (`compression.gzip.level`); the default is 6. The
    /// other codecs have one.
    pub gzip_level: u32,
    /// Largest size of the batch before compression, in bytes (`max.request.size`); the default is
    /// 1,048,576, what brokers accept by default.
    pub max_bytes: usize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            gzip_level: 6,
            max_bytes: 1 << 20,
        }
    }
}

/// What became of a record given to [`BatchBuilder::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// It is in the batch, this many records after the first.
    At(i32),
    /// It does not fit any more: finish this batch and start the next with it.
    Full,
}

/// Writes records into one batch: each is copied once, into the buffer that is sent.
///
/// See the [module](super) for an example.
#[derive(Debug)]
#[must_use]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// Starts an empty batch.
    pub fn new(options: BatchOptions) -> Self {
        Self {
            options,
            buffer: vec![0; LEN],
            count: 0,
            base_timestamp: 0,
            max_timestamp: -1,
        }
    }

    /// Reserves room for a batch of this many bytes, so that it grows in one step.
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.options.max_bytes);
        self.buffer.reserve_exact(bytes.saturating_sub(LEN));
        self
    }

    /// Returns how many records are in the batch.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Tells whether there is no record yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the exact size before compression, in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Copies a record to the end, if it fits.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a record that no batch of [`BatchOptions::max_bytes`] can hold, and for a
    /// negative timestamp: brokers refuse it. The batch is as before.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<Pushed> {
        if record.timestamp < 0 {
            return Err(Error::invalid_input(
                "timestamp",
                format!("{} is before 1970, which brokers refuse", record.timestamp),
            ));
        }
        let base = if self.is_empty() {
            record.timestamp
        } else {
            self.base_timestamp
        };
        // Neither is negative.
        let timestamp_delta = record.timestamp - base;
        let body = record.body_len(timestamp_delta, self.count);
        let size = varint::len(body as i64) + body;
        let limit = self.options.max_bytes.min(i32::MAX as usize);
        if size > limit.saturating_sub(self.buffer.len()) {
            if self.is_empty() {
                return Err(Error::invalid_input(
                    "record",
                    format!(
                        "a batch of {} bytes is more than the allowed {limit}",
                        LEN + size
                    ),
                ));
            }
            return Ok(Pushed::Full);
        }
        self.base_timestamp = base;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        record.write(&mut self.buffer, body, timestamp_delta, self.count);
        self.count += 1;
        Ok(Pushed::At(self.count - 1))
    }

    /// Compresses, and seals the batch with its header and checksum.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty batch: brokers refuse it. Permanent when the codec fails, which
    /// none is known to.
    pub fn finish(self, producer: Producer) -> Result<EncodedBatch> {
        if self.is_empty() {
            return Err(Error::invalid_input(
                "batch",
                "it has no records, which brokers refuse",
            ));
        }
        let compression = self.options.compression;
        let mut bytes = self.buffer;
        if compression != Compression::None {
            let records = bytes.split_off(LEN);
            bytes.reserve(records.len() / 2);
            compression
                .compress(&records, self.options.gzip_level, &mut bytes)
                .map_err(|error| {
                    let what =
                        format!("a batch of {} bytes could not be compressed", records.len());
                    Error::permanent(format!("{what} with {compression}")).with_source(error)
                })?;
        }
        let header = BatchHeader {
            base_offset: 0,
            last_offset_delta: self.count - 1,
            leader_epoch: -1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer,
            record_count: self.count,
            attributes: compression.id(),
        };
        let length = i32::try_from(bytes.len() - LOG_OVERHEAD).map_err(|_| {
            Error::permanent(format!(
                "a batch grew to {} bytes, more than 2 GiB",
                bytes.len()
            ))
        })?;
        header.write(&mut bytes);
        bytes[8..LOG_OVERHEAD].copy_from_slice(&length.to_be_bytes());
        seal(&mut bytes);
        Ok(EncodedBatch {
            header,
            bytes: bytes.into(),
        })
    }
}

/// A batch as it goes over the wire: the same bytes each time it is sent, so that a broker knows a
/// resend by its producer and sequence.
#[derive(Clone, Debug)]
#[must_use]
pub struct EncodedBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl EncodedBatch {
    /// Returns the bytes for a produce request's `records`; cloning them is cheap.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the fixed part.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Gives the batch another producer state, as after a fenced epoch: only for a batch that the
    /// broker is known not to have. It is rewritten in place when its bytes are not shared.
    pub fn with_producer(mut self, producer: Producer) -> Self {
        self.header.producer = producer;
        let mut bytes = BytesMut::from(self.bytes);
        self.header.write(&mut bytes);
        seal(&mut bytes);
        self.bytes = bytes.freeze();
        self
    }
}

/// Writes the checksum (CRC-32C of everything after it).
fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}
