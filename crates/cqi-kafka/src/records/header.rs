use cqi_errors::{Error, Result};

use super::Compression;

/// Bytes before the first record.
pub(super) const LEN: usize = 61;
/// Bytes before what the length field counts.
pub(super) const LOG_OVERHEAD: usize = 12;
/// Where the magic byte is, in every version of the format.
pub(super) const MAGIC_AT: usize = 16;
/// The only version of the format read and written here.
pub(super) const MAGIC: u8 = 2;
/// Where the checksum is, and where what it covers starts.
pub(super) const CRC_AT: usize = 17;
pub(super) const CRC_FROM: usize = 21;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// What a record's timestamp means: the topic's `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// When the producer made the record.
    CreateTime,
    /// When the broker appended the batch.
    LogAppendTime,
}

/// Who wrote a batch: what makes a resend recognisable ("Record Batch", `producerId`,
/// `producerEpoch` and `baseSequence`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Producer {
    /// The id that `InitProducerId` gave, or -1.
    pub id: i64,
    /// The epoch of that id, or -1.
    pub epoch: i16,
    /// The sequence number of the batch's first record, or -1.
    pub base_sequence: i32,
}

impl Producer {
    /// No producer state: a batch that is not idempotent.
    pub const NONE: Self = Self {
        id: -1,
        epoch: -1,
        base_sequence: -1,
    };
}

/// The fixed part of a batch ("Record Batch" in the message format).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset that the records' deltas count from; compaction keeps it.
    pub base_offset: i64,
    /// Distance of the last offset that the batch ever held; compaction keeps it.
    pub last_offset_delta: i32,
    /// Epoch of the leader that appended the batch, -1 when unknown.
    pub leader_epoch: i32,
    /// Timestamp that the records' deltas count from, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// Largest timestamp of the batch, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// Who wrote the batch.
    pub producer: Producer,
    /// How many records follow; 0 after compaction removed all.
    pub record_count: i32,
    /// Bits of compression, timestamp type, transaction and control.
    pub attributes: i16,
}

impl BatchHeader {
    /// Returns the last offset that the batch covers, whether its record is still there or not.
    #[must_use]
    pub const fn last_offset(&self) -> i64 {
        self.base_offset + self.last_offset_delta as i64
    }

    /// Returns the offset to fetch after this batch: right for compacted and empty batches too.
    #[must_use]
    pub const fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Returns what the records' timestamps mean.
    #[must_use]
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Tells whether the batch is part of a transaction.
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Tells whether the batch holds the broker's own records, such as a transaction's end, which
    /// no application sees.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Returns how the records are compressed.
    ///
    /// # Errors
    ///
    /// Permanent for a codec that no published version of Kafka has.
    pub fn compression(&self) -> Result<Compression> {
        let id = self.attributes & COMPRESSION_MASK;
        Compression::from_id(id).ok_or_else(|| {
            corrupt(
                self.base_offset,
                format_args!("compression {id} is unknown, 0 to 4 are known"),
            )
        })
    }

    /// Reads the header of a batch whose length and magic are checked.
    pub(super) fn read(batch: &[u8; LEN]) -> Result<Self> {
        let header = Self {
            base_offset: base_offset(batch),
            leader_epoch: i32::from_be_bytes(at(batch, 12)),
            attributes: i16::from_be_bytes(at(batch, 21)),
            last_offset_delta: i32::from_be_bytes(at(batch, 23)),
            base_timestamp: i64::from_be_bytes(at(batch, 27)),
            max_timestamp: i64::from_be_bytes(at(batch, 35)),
            producer: Producer {
                id: i64::from_be_bytes(at(batch, 43)),
                epoch: i16::from_be_bytes(at(batch, 51)),
                base_sequence: i32::from_be_bytes(at(batch, 53)),
            },
            record_count: i32::from_be_bytes(at(batch, 57)),
        };
        let (base, delta) = (header.base_offset, header.last_offset_delta);
        // Room for the next offset as well.
        let fits = base
            .checked_add(i64::from(delta))
            .is_some_and(|last| last < i64::MAX);
        if base < 0 || delta < 0 || !fits {
            return Err(corrupt(
                base,
                format_args!("its last offset delta is {delta}"),
            ));
        }
        if header.record_count < 0 {
            let count = header.record_count;
            return Err(corrupt(base, format_args!("its record count is {count}")));
        }
        Ok(header)
    }

    /// Writes all but the length and the checksum.
    pub(super) fn write(&self, batch: &mut [u8]) {
        let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.base_offset.to_be_bytes());
        put(12, &self.leader_epoch.to_be_bytes());
        put(MAGIC_AT, &[MAGIC]);
        put(21, &self.attributes.to_be_bytes());
        put(23, &self.last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &self.producer.id.to_be_bytes());
        put(51, &self.producer.epoch.to_be_bytes());
        put(53, &self.producer.base_sequence.to_be_bytes());
        put(57, &self.record_count.to_be_bytes());
    }
}

/// Reads the offset that starts every batch.
pub(super) fn base_offset(batch: &[u8; LEN]) -> i64 {
    i64::from_be_bytes(at(batch, 0))
}

/// Copies `N` bytes out of a header; `from + N` is within it wherever this is called.
pub(super) fn at<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[from..from + N]);
    out
}

/// Makes the error for a batch that cannot be what a broker stored.
#[cold]
pub(super) fn corrupt(base_offset: i64, what: impl std::fmt::Display) -> Error {
    Error::permanent(format!(
        "the record batch at offset {base_offset} is corrupt: {what}; compare the broker's log, \
         or seek past offset {base_offset} to give the batch up"
    ))
}
