use std::collections::BTreeMap;

use cqi_errors::Result;

use super::Client;
use crate::TopicPartition;

/// Whether records of transactions are read that are not committed (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// All records, those of open and of aborted transactions too: Java's default.
    ReadUncommitted,
    /// Those of committed transactions, and those without one, up to the first open one.
    #[default]
    ReadCommitted,
}

impl Isolation {
    pub(crate) const fn level(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// That of the oldest record that is still there.
    Earliest,
    /// That of the next record: the high watermark, or the last stable offset when only committed
    /// records are read.
    Latest,
    /// That of the first record with this timestamp or a later one, in milliseconds since 1970, from 0.
    At(i64),
}

impl OffsetSpec {
    pub(super) const fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            // Below 0 are the protocol's words for other questions.
            Self::At(millis) if millis < 0 => 0,
            Self::At(millis) => millis,
        }
    }
}

/// An offset that a partition's leader gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The offset, from 0.
    pub offset: i64,
    /// The epoch of the leader that wrote the record, if known.
    pub leader_epoch: Option<i32>,
    /// The record's timestamp in milliseconds since 1970, where one was asked for.
    pub timestamp: Option<i64>,
}

impl Client {
    /// Returns an offset of each of these partitions, as their leaders say; none where no record has
    /// such a timestamp or a later one.
    ///
    /// Leaders that move are followed, within `request_timeout`.
    ///
    /// # Errors
    /// The first partition's of which no offset could be had:
    /// - [`Kind::NotFound`](cqi_errors::Kind::NotFound): there is no such topic or partition.
    /// - [`Kind::Forbidden`](cqi_errors::Kind::Forbidden): the topic may not be described.
    /// - [`Kind::Temporary`](cqi_errors::Kind::Temporary), [`Kind::Timeout`](cqi_errors::Kind::Timeout):
    ///   its leader does not answer, or it has none.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Option<ListedOffset>>> {
        let wanted = partitions.into_iter().map(|partition| (partition, spec));
        let wanted = wanted.collect();
        let listed = self.list_offsets(&wanted, isolation, self.request_timeout());
        let listed = listed.await.into_iter();
        listed
            .map(|(partition, offset)| Ok((partition, offset?)))
            .collect()
    }
}
