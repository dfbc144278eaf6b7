use std::sync::Arc;

use bytes::Bytes;
use cqi_errors::{Error, Result};

use super::FetchSettings;
use super::budget::Lease;
use crate::records::{AbortedTransaction, Batches, Decompressor, FetchedRecords, Record};
use crate::wire::FetchPartition;

/// What one answer brought of one partition, read a page at a time.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The offset that was asked for.
    pub(super) start: i64,
    /// The offset after the whole batches, which the next request asks for.
    pub(super) end: i64,
    /// The epoch of the last whole batch.
    pub(super) epoch: Option<i32>,
    /// Whether what follows the end is not a batch: reading will say so.
    pub(super) is_broken: bool,
    /// The most records that are left, as the batches say.
    count: usize,
    records: Bytes,
    aborted: Vec<AbortedTransaction>,
    last_stable_offset: i64,
    open: Option<FetchedRecords>,
    pub(super) lease: Arc<Lease>,
}

/// Records read off a chunk.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    /// The offset after them.
    pub(super) next: i64,
    /// The epoch of the last batch that is behind it, where it is known.
    pub(super) epoch: Option<i32>,
    /// Whether the chunk is read to its end.
    pub(super) is_last: bool,
    /// What is wrong with the batch that comes next.
    pub(super) error: Option<Error>,
}

impl Chunk {
    /// Takes the records of an answer; none where it brought nothing new.
    ///
    /// Brokers send the first batch whole however large it is, so less than that is an error.
    pub(super) fn new(
        part: FetchPartition,
        start: i64,
        committed: bool,
        lease: &Arc<Lease>,
    ) -> Result<Option<Self>> {
        let Some(records) = part.records.filter(|records| !records.is_empty()) else {
            return Ok(None);
        };
        let mut chunk = Self {
            start,
            end: start,
            epoch: None,
            is_broken: false,
            count: 0,
            records,
            aborted: part.aborted_transactions,
            last_stable_offset: if committed {
                part.last_stable_offset
            } else {
                -1
            },
            open: None,
            lease: Arc::clone(lease),
        };
        let mut batches = Batches::new(chunk.records.clone()).with_check_crcs(false);
        let mut whole = 0;
        for batch in batches.by_ref() {
            let Ok(batch) = batch else {
                chunk.is_broken = true;
                break;
            };
            whole += batch.size();
            let header = batch.header();
            // Held back when read, too.
            if (0..=header.base_offset).contains(&chunk.last_stable_offset) {
                break;
            }
            if header.next_offset() > chunk.end {
                chunk.end = header.next_offset();
                chunk.epoch = known(header.leader_epoch);
                let count = header.record_count.cast_unsigned() as usize;
                chunk.count = chunk.count.saturating_add(count);
            }
        }
        if batches.is_truncated() && whole == 0 {
            return Err(Error::permanent(format!(
                "the {} bytes that its leader has at offset {start} are no whole record batch; \
                 check the leader's log",
                chunk.records.len()
            )));
        }
        Ok((chunk.end > start || chunk.is_broken).then_some(chunk))
    }

    /// Reads the next records, as many as may be.
    pub(super) fn read(
        &mut self,
        settings: &FetchSettings,
        spare: &mut Option<Decompressor>,
    ) -> Page {
        let limit = settings.max_poll_records;
        let fetched = self.open.get_or_insert_with(|| {
            let decompressor = spare.take();
            let decompressor =
                decompressor.unwrap_or_else(|| Decompressor::new(settings.max_batch_bytes));
            let fetched = FetchedRecords::new(self.records.clone(), self.start, decompressor);
            let fetched = fetched.with_check_crcs(settings.check_crcs);
            match settings.committed() {
                true => {
                    fetched.read_committed(self.aborted.iter().copied(), self.last_stable_offset)
                }
                false => fetched,
            }
        });
        let mut page = Page {
            // The count is a claim: a record takes 7 bytes at least, if compression makes no less of it.
            records: Vec::with_capacity(self.count.min(limit).min(self.records.len() / 7)),
            next: self.start,
            epoch: None,
            is_last: false,
            error: None,
        };
        while page.records.len() < limit {
            match fetched.next() {
                Some(Ok(record)) => page.records.push(record),
                Some(Err(error)) => {
                    page.error = Some(error);
                    break;
                }
                None => {
                    page.is_last = true;
                    break;
                }
            }
        }
        page.next = fetched.next_offset();
        page.epoch = match page.records.last() {
            _ if page.next >= self.end => self.epoch,
            Some(record) => known(record.leader_epoch()),
            None => None,
        };
        self.count = self.count.saturating_sub(page.records.len());
        if page.is_last {
            *spare = self.open.take().map(FetchedRecords::into_decompressor);
        }
        page
    }

    /// Frees what is decompressed; reading goes on at an offset.
    pub(super) fn rest(&mut self, offset: i64) {
        self.open = None;
        self.start = offset;
    }
}

fn known(epoch: i32) -> Option<i32> {
    (epoch >= 0).then_some(epoch)
}
