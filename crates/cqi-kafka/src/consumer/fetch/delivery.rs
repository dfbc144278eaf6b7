use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::Position;
use super::budget::Lease;
use super::chunk::Page;
use crate::TopicPartition;
use crate::membership::Offset;
use crate::records::Record;

/// Records of one partition, in order; at most [`FetchSettings::max_poll_records`].
///
/// They are views into the broker's answer, which stays in memory, counted in
/// [`FetchSettings::max_buffered_bytes`], until all that it brought is delivered and dropped. To
/// keep a few records for long, copy what is needed of them.
///
/// [`FetchSettings::max_poll_records`]: crate::FetchSettings::max_poll_records
/// [`FetchSettings::max_buffered_bytes`]: crate::FetchSettings::max_buffered_bytes
pub struct Records {
    partition: TopicPartition,
    records: Vec<Record>,
    /// The offset after them.
    next: i64,
    position: Position,
    lease: Arc<Lease>,
}

impl Records {
    pub(super) fn new(
        partition: TopicPartition,
        page: Page,
        position: Position,
        lease: Arc<Lease>,
    ) -> Self {
        Self {
            partition,
            records: page.records,
            next: page.next,
            position,
            lease,
        }
    }

    /// Returns the partition that they are of.
    #[must_use]
    pub const fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Returns what to commit when all of them are processed: the offset after them, also where
    /// records are missing there, with the leader's epoch.
    #[must_use]
    pub fn next_offset(&self) -> (TopicPartition, Offset) {
        let offset = Offset {
            offset: self.next,
            leader_epoch: self.position.leader_epoch,
            metadata: Arc::from(""),
        };
        (self.partition.clone(), offset)
    }

    /// Returns where the partition is after them, and how far there is to go.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }
}

impl Deref for Records {
    type Target = [Record];

    fn deref(&self) -> &[Record] {
        &self.records
    }
}

/// Shows where they are and how many, never what they say.
impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("partition", &self.partition)
            .field("first", &self.records.first().map(Record::offset))
            .field("len", &self.records.len())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl IntoIterator for Records {
    type Item = Record;
    type IntoIter = IntoRecords;

    fn into_iter(self) -> IntoRecords {
        IntoRecords {
            records: self.records.into_iter(),
            _lease: self.lease,
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = &'a Record;
    type IntoIter = std::slice::Iter<'a, Record>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.iter()
    }
}

/// The records of a [`Records`], one after the other.
#[derive(Debug)]
pub struct IntoRecords {
    records: std::vec::IntoIter<Record>,
    _lease: Arc<Lease>,
}

impl Iterator for IntoRecords {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        self.records.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for IntoRecords {}
impl std::iter::FusedIterator for IntoRecords {}
