//! The records of one partition: raw batches, of which only the headers are read.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

/// The length of a batch's header, and of what of it comes before the bytes that its length counts.
const HEADER: usize = 61;
const PREFIX: usize = 12;

/// How many batches of each producer are remembered, to know duplicates.
const REMEMBERED: usize = 5;

pub(super) const CORRUPT_MESSAGE: i16 = 2;
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;
pub(super) const INVALID_RECORD: i16 = 87;

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    batches: Vec<Batch>,
    pub(super) start: i64,
    pub(super) end: i64,
    /// Epochs of leaders, and the offset at which each began.
    epochs: BTreeMap<i32, i64>,
    producers: BTreeMap<i64, Producer>,
}

#[derive(Clone, Debug)]
struct Batch {
    base: i64,
    last: i64,
    max_timestamp: i64,
    bytes: Bytes,
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    /// First and last sequence, and the offset.
    batches: VecDeque<(i32, i32, i64)>,
}

struct Header {
    last_delta: i32,
    max_timestamp: i64,
    producer: i64,
    epoch: i16,
    sequence: i32,
}

impl Log {
    /// Appends one batch and returns its offset: that of the first time for one that is there already.
    pub(super) fn append(&mut self, batch: &[u8], epoch: i32) -> Result<i64, i16> {
        let header = Header::read(batch)?;
        if header.producer >= 0
            && let Some(offset) = self.sequence(&header)?
        {
            return Ok(offset);
        }
        let base = self.end;
        let mut bytes = BytesMut::from(batch);
        // Neither of the two is part of what the checksum covers.
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        bytes[PREFIX..PREFIX + 4].copy_from_slice(&epoch.to_be_bytes());
        let last = base + i64::from(header.last_delta);
        self.batches.push(Batch {
            base,
            last,
            max_timestamp: header.max_timestamp,
            bytes: bytes.freeze(),
        });
        self.end = last + 1;
        self.epochs.entry(epoch).or_insert(base);
        Ok(base)
    }

    /// Checks a producer's sequence; returns the offset of what is there already.
    fn sequence(&mut self, header: &Header) -> Result<Option<i64>, i16> {
        let first = header.sequence;
        let last = first.wrapping_add(header.last_delta) & i32::MAX;
        let known = self.producers.entry(header.producer).or_insert(Producer {
            epoch: header.epoch,
            batches: VecDeque::new(),
        });
        if header.epoch < known.epoch {
            return Err(INVALID_PRODUCER_EPOCH);
        }
        if header.epoch > known.epoch {
            if first != 0 {
                return Err(OUT_OF_ORDER_SEQUENCE);
            }
            known.epoch = header.epoch;
            known.batches.clear();
        }
        let same = |batch: &&(i32, i32, i64)| (batch.0, batch.1) == (first, last);
        if let Some(&(_, _, offset)) = known.batches.iter().find(same) {
            return Ok(Some(offset));
        }
        let follows = |batch: &(i32, i32, i64)| batch.1.wrapping_add(1) & i32::MAX == first;
        if !known.batches.back().is_none_or(follows) {
            return Err(OUT_OF_ORDER_SEQUENCE);
        }
        if known.batches.len() == REMEMBERED {
            known.batches.pop_front();
        }
        known.batches.push_back((first, last, self.end));
        Ok(None)
    }

    /// Returns whole batches from the one with this offset on: at least one, then as many as fit.
    pub(super) fn read(&self, offset: i64, limit: usize) -> Bytes {
        let mut bytes = BytesMut::new();
        for batch in self.batches.iter().filter(|batch| batch.last >= offset) {
            if !bytes.is_empty() && bytes.len() + batch.bytes.len() > limit {
                break;
            }
            bytes.extend_from_slice(&batch.bytes);
        }
        bytes.freeze()
    }

    pub(super) fn batches(&self) -> Vec<Bytes> {
        let batches = self.batches.iter();
        batches.map(|batch| batch.bytes.clone()).collect()
    }

    /// Returns offset and timestamp of the first batch with a record that is not older.
    pub(super) fn since(&self, timestamp: i64) -> Option<(i64, i64)> {
        let mut batches = self.batches.iter();
        let batch = batches.find(|batch| batch.max_timestamp >= timestamp)?;
        Some((batch.base, batch.max_timestamp))
    }

    /// Returns the last epoch up to this one, and where it ended.
    pub(super) fn end_of(&self, epoch: i32) -> (i32, i64) {
        let next = self.epochs.range(epoch.saturating_add(1)..).next();
        let end = next.map_or(self.end, |(_, start)| *start);
        match self.epochs.range(..=epoch).next_back() {
            Some((epoch, _)) => (*epoch, end),
            None => (-1, -1),
        }
    }

    /// Forgets what comes before an offset, as retention does.
    pub(super) fn expire(&mut self, start: i64) {
        self.start = start;
        self.end = self.end.max(start);
        self.batches.retain(|batch| batch.last >= start);
    }

    /// Loses what comes from an offset on, as an unclean election does.
    pub(super) fn lose(&mut self, end: i64) {
        self.batches.retain(|batch| batch.last < end);
        self.end = self
            .batches
            .last()
            .map_or(self.start, |batch| batch.last + 1);
        self.epochs.retain(|_, start| *start < self.end);
    }
}

impl Header {
    fn read(batch: &[u8]) -> Result<Self, i16> {
        let length = batch.get(8..PREFIX).and_then(|it| it.try_into().ok());
        let length = length.map_or(-1, i32::from_be_bytes);
        if usize::try_from(length) != Ok(batch.len().wrapping_sub(PREFIX)) || batch.len() < HEADER {
            return Err(CORRUPT_MESSAGE);
        }
        let checksum = u32::from_be_bytes(field(batch, 17));
        if batch[16] != 2 || crc32c::crc32c(&batch[21..]) != checksum {
            return Err(CORRUPT_MESSAGE);
        }
        let header = Self {
            last_delta: i32::from_be_bytes(field(batch, 23)),
            max_timestamp: i64::from_be_bytes(field(batch, 35)),
            producer: i64::from_be_bytes(field(batch, 43)),
            epoch: i16::from_be_bytes(field(batch, 51)),
            sequence: i32::from_be_bytes(field(batch, 53)),
        };
        let count = i32::from_be_bytes(field(batch, 57));
        match header.last_delta >= 0 && count == header.last_delta + 1 {
            true => Ok(header),
            false => Err(INVALID_RECORD),
        }
    }
}

/// Reads a field of a header, whose length was checked.
fn field<const N: usize>(batch: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&batch[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(producer: i64, epoch: i16, sequence: i32, count: i32) -> Vec<u8> {
        let mut batch = vec![0; HEADER];
        batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
        batch[16] = 2;
        batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        batch[43..51].copy_from_slice(&producer.to_be_bytes());
        batch[51..53].copy_from_slice(&epoch.to_be_bytes());
        batch[53..57].copy_from_slice(&sequence.to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        batch
    }

    #[test]
    fn a_repeated_batch_is_there_once() {
        let mut log = Log::default();
        assert_eq!(log.append(&batch(1, 0, 0, 3), 0), Ok(0));
        assert_eq!(log.append(&batch(1, 0, 3, 2), 0), Ok(3));
        assert_eq!(log.append(&batch(1, 0, 0, 3), 0), Ok(0));
        assert_eq!(
            log.append(&batch(1, 0, 6, 1), 0),
            Err(OUT_OF_ORDER_SEQUENCE)
        );
        assert_eq!(
            log.append(&batch(1, 1, 5, 1), 0),
            Err(OUT_OF_ORDER_SEQUENCE)
        );
        assert_eq!(log.append(&batch(1, 1, 0, 1), 0), Ok(5));
        assert_eq!(
            log.append(&batch(1, 0, 5, 1), 0),
            Err(INVALID_PRODUCER_EPOCH)
        );
        assert_eq!((log.end, log.batches().len()), (6, 3));
    }

    #[test]
    fn a_damaged_batch_is_refused() {
        let whole = batch(-1, -1, -1, 1);
        let mut log = Log::default();
        for at in (16..whole.len()).chain([8, 11]) {
            let mut batch = whole.clone();
            batch[at] ^= 1;
            assert_eq!(log.append(&batch, 0), Err(CORRUPT_MESSAGE), "byte {at}");
        }
        assert_eq!(log.append(&whole[..40], 0), Err(CORRUPT_MESSAGE));
        assert_eq!(log.append(&[], 0), Err(CORRUPT_MESSAGE));
        assert_eq!(log.append(&whole, 0), Ok(0));
    }

    #[test]
    fn epochs_end_where_the_next_begins() {
        let mut log = Log::default();
        for epoch in [0, 0, 2] {
            log.append(&batch(-1, -1, -1, 2), epoch).unwrap();
        }
        assert_eq!(log.end_of(0), (0, 4));
        assert_eq!(log.end_of(1), (0, 4));
        assert_eq!(log.end_of(2), (2, 6));
        log.lose(5);
        assert_eq!((log.end, log.end_of(2)), (4, (0, 4)));
        log.expire(2);
        assert_eq!((log.start, log.batches().len()), (2, 1));
    }
}
