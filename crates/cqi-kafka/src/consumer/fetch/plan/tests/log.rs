use bytes::{Bytes, BytesMut};

use crate::records::{BatchBuilder, BatchOptions, NewRecord, Producer};
use crate::wire::FetchPartition;

/// A partition's log as its leader has it.
#[derive(Debug, Default)]
pub(super) struct Log {
    batches: Vec<Batch>,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) node: i32,
    pub(super) epoch: i32,
}

#[derive(Debug)]
struct Batch {
    next: i64,
    bytes: Bytes,
    /// Offsets that still have a record.
    records: Vec<i64>,
}

impl Log {
    pub(super) fn at(node: i32) -> Self {
        Self {
            node,
            ..Self::default()
        }
    }

    /// Appends a batch of some records, as a cleaner left it: without so many at the end.
    pub(super) fn append(&mut self, records: i32, cleaned: i32) {
        let base = self.end;
        let mut batch = BatchBuilder::new(BatchOptions::default());
        for index in 0..records.max(1) {
            let value = (base + i64::from(index)).to_be_bytes();
            let _ = batch
                .push(&NewRecord {
                    value: Some(&value),
                    ..NewRecord::at(1)
                })
                .unwrap();
        }
        let batch = batch.finish(Producer::NONE).unwrap();
        let mut bytes = BytesMut::from(&batch.bytes()[..]);
        let delta = records.max(1) - 1 + cleaned;
        if records == 0 {
            bytes.truncate(61);
            bytes[57..61].fill(0);
        }
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[0..8].copy_from_slice(&base.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[23..27].copy_from_slice(&delta.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        self.end = base + i64::from(delta) + 1;
        self.batches.push(Batch {
            next: self.end,
            bytes: bytes.freeze(),
            records: (base..base + i64::from(records)).collect(),
        });
    }

    /// The offsets of the records from one offset to another.
    pub(super) fn records(&self, from: i64, to: i64) -> Vec<i64> {
        let records = self.batches.iter().flat_map(|batch| &batch.records);
        records
            .copied()
            .filter(|offset| (from..to).contains(offset))
            .collect()
    }

    /// How many whole batches from an offset fit into so many bytes.
    pub(super) fn fitting(&self, offset: i64, bytes: usize) -> usize {
        let found = self.batches.iter().filter(|batch| batch.next > offset);
        let sizes = found.scan(0, |size, batch| {
            *size += batch.bytes.len();
            Some(*size)
        });
        sizes.take_while(|size| *size <= bytes).count()
    }

    /// What a leader answers to a fetch from an offset, with some whole batches and a part of the next.
    pub(super) fn answer(
        &self,
        partition: i32,
        offset: i64,
        batches: usize,
        cut: usize,
    ) -> FetchPartition {
        let mut answer = FetchPartition {
            partition_index: partition,
            high_watermark: self.end,
            last_stable_offset: self.end,
            log_start_offset: self.start,
            ..FetchPartition::default()
        };
        if !(self.start..=self.end).contains(&offset) {
            answer.error_code = 1;
            return answer;
        }
        let mut bytes = BytesMut::new();
        let mut found = self.batches.iter().filter(|batch| batch.next > offset);
        for batch in found.by_ref().take(batches) {
            bytes.extend_from_slice(&batch.bytes);
        }
        // Brokers send the first batch whole, or nothing.
        if let Some(batch) = found.next()
            && !bytes.is_empty()
        {
            bytes.extend_from_slice(&batch.bytes[..cut.min(batch.bytes.len() - 1)]);
        }
        answer.records = Some(bytes.freeze());
        answer
    }
}
