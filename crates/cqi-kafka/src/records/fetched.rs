use std::collections::BTreeSet;
use std::iter::FusedIterator;

use bytes::Bytes;
use cqi_errors::Result;

use super::{Batch, Batches, Decompressor, Marker, Record, Records};

/// One entry of a fetch reply's `aborted_transactions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbortedTransaction {
    /// Who aborted.
    pub producer_id: i64,
    /// The transaction's first offset in the partition.
    pub first_offset: i64,
}

/// The data records of one partition in a fetch reply, from the offset that was asked for.
///
/// Records below that offset, which share a batch with it, are dropped; control batches and, with
/// [`read_committed`](Self::read_committed), aborted transactions are passed over.
/// [`next_offset`](Self::next_offset) is right after each step, also where there is nothing to
/// yield: compaction gaps, empty batches, markers. Batches are checked and decompressed one at a
/// time, when their first record is asked for. An error ends the iteration and leaves
/// `next_offset` where it was.
#[derive(Debug)]
pub struct FetchedRecords {
    batches: Batches,
    current: Option<(Records, i64)>,
    next_offset: i64,
    decompressor: Decompressor,
    committed: Option<Committed>,
    done: bool,
}

impl FetchedRecords {
    /// Reads everything from `offset` on (`isolation.level=read_uncommitted`).
    #[must_use]
    pub const fn new(records: Bytes, offset: i64, decompressor: Decompressor) -> Self {
        Self {
            batches: Batches::new(records),
            current: None,
            next_offset: offset,
            decompressor,
            committed: None,
            done: false,
        }
    }

    /// Drops aborted transactions (`isolation.level=read_committed`), and holds back what is at or
    /// above the last stable offset: pass the reply's lists, -1 for an unknown offset.
    #[must_use]
    pub fn read_committed(
        mut self,
        aborted: impl IntoIterator<Item = AbortedTransaction>,
        last_stable_offset: i64,
    ) -> Self {
        let mut pending: Vec<_> = aborted.into_iter().collect();
        pending.sort_unstable_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        self.committed = Some(Committed {
            pending,
            aborting: BTreeSet::new(),
            last_stable_offset: u64::try_from(last_stable_offset).unwrap_or(u64::MAX),
        });
        self
    }

    /// Sets whether checksums are verified (`check.crcs` in Java); the default is true.
    #[must_use]
    pub fn with_check_crcs(mut self, check: bool) -> Self {
        self.batches = self.batches.with_check_crcs(check);
        self
    }

    /// Returns the offset to ask for after what was yielded so far.
    #[must_use]
    pub const fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Tells whether the reply ended within a batch; the next fetch brings it whole.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.batches.is_truncated()
    }

    /// Gives the decompressor back for the next reply.
    #[must_use]
    pub fn into_decompressor(self) -> Decompressor {
        self.decompressor
    }

    /// Opens the next batch that has something to yield, `None` at the end.
    fn open(&mut self) -> Result<Option<(Records, i64)>> {
        while let Some(batch) = self.batches.next().transpose()? {
            let next = batch.header().next_offset();
            // A broker starts its reply at a batch that may end before the offset, and so be skipped.
            let below = next <= self.next_offset;
            let wanted = match &mut self.committed {
                Some(committed) => match committed.verdict(&batch, &mut self.decompressor)? {
                    Verdict::Yield => true,
                    Verdict::Skip => false,
                    Verdict::Hold => return Ok(None),
                },
                None => !batch.header().is_control(),
            };
            if wanted && !below {
                return Ok(Some((batch.records(&mut self.decompressor)?, next)));
            }
            self.next_offset = self.next_offset.max(next);
        }
        Ok(None)
    }

    fn advance(&mut self) -> Result<Option<Record>> {
        loop {
            let (records, next) = match &mut self.current {
                Some(current) => current,
                None => match self.open()? {
                    Some(opened) => self.current.insert(opened),
                    None => return Ok(None),
                },
            };
            for record in records {
                let record = record?;
                if record.offset() >= self.next_offset {
                    self.next_offset = record.offset() + 1;
                    return Ok(Some(record));
                }
            }
            self.next_offset = self.next_offset.max(*next);
            self.current = None;
        }
    }
}

impl Iterator for FetchedRecords {
    type Item = Result<Record>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl FusedIterator for FetchedRecords {}

/// What is void, as the Java client's `CompletedFetch` follows it through a reply.
#[derive(Debug)]
struct Committed {
    /// Transactions that start further on, the nearest last.
    pending: Vec<AbortedTransaction>,
    /// Producers between their first aborted offset and their abort marker.
    aborting: BTreeSet<i64>,
    last_stable_offset: u64,
}

enum Verdict {
    Yield,
    Skip,
    Hold,
}

impl Committed {
    fn verdict(&mut self, batch: &Batch, decompressor: &mut Decompressor) -> Result<Verdict> {
        let header = batch.header();
        if header.base_offset.cast_unsigned() >= self.last_stable_offset {
            return Ok(Verdict::Hold);
        }
        while let Some(aborted) = self
            .pending
            .pop_if(|aborted| aborted.first_offset <= header.last_offset())
        {
            self.aborting.insert(aborted.producer_id);
        }
        if header.is_control() {
            if batch.marker(decompressor)? == Some(Marker::Abort) {
                self.aborting.remove(&header.producer.id);
            }
            return Ok(Verdict::Skip);
        }
        let void = header.is_transactional() && self.aborting.contains(&header.producer.id);
        Ok(if void { Verdict::Skip } else { Verdict::Yield })
    }
}
