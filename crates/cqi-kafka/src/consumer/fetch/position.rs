use crate::client::Isolation;

/// How far a partition was delivered, and what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The offset of the next record to deliver; none until it is looked up.
    pub offset: Option<i64>,
    /// The epoch of the leader that wrote the last record delivered, if known.
    pub leader_epoch: Option<i32>,
    /// The offset after the last record that all in-sync replicas have, as the leader said last.
    pub high_watermark: Option<i64>,
    /// The offset of the oldest open transaction, else the high watermark.
    pub last_stable_offset: Option<i64>,
    /// The oldest offset of the log.
    pub log_start_offset: Option<i64>,
    /// Whether the caller paused the partition.
    pub paused: bool,
    pub(super) isolation: Isolation,
}

impl Position {
    /// Returns how many offsets there are to the end of what may be read, as far as known.
    ///
    /// Compaction and transaction markers leave gaps, so there may be fewer records.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        Some((self.end()? - self.offset?).max(0))
    }

    /// The end of what may be read.
    pub(super) const fn end(&self) -> Option<i64> {
        match self.isolation {
            Isolation::ReadCommitted => self.last_stable_offset,
            _ => self.high_watermark,
        }
    }
}
