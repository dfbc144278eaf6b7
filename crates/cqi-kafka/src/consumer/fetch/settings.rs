use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::client::Isolation;
use crate::records::Decompressor;

/// Where a partition begins that has no position: nothing was committed, or what was is gone from
/// the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StartPosition {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    #[default]
    Latest,
    /// At the first record of this time or later, in milliseconds since 1970; after the newest, if
    /// there is none.
    Timestamp(i64),
    /// Nowhere: the caller is told, and seeks.
    Fail,
}

/// How to fetch; the names in brackets are the Java client's.
///
/// ```
/// use cqi_kafka::{FetchSettings, StartPosition};
///
/// let mut fetch = FetchSettings::default();
/// fetch.start = StartPosition::Earliest;
/// fetch.max_poll_records = 2_000;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchSettings {
    /// Where partitions begin that have no position (`auto.offset.reset`). Latest.
    pub start: StartPosition,
    /// Whether records of open and aborted transactions are seen (`isolation.level`). Read
    /// committed, other than in Java.
    pub isolation: Isolation,
    /// Whether the checksums of batches are verified (`check.crcs`). True.
    pub check_crcs: bool,
    /// The most records that come at once, 1 or more (`max.poll.records`). 500. Each takes 80 bytes
    /// besides those that it points to.
    pub max_poll_records: usize,
    /// How long a broker waits for [`min_bytes`](Self::min_bytes), 1 ms to 10 minutes
    /// (`fetch.max.wait.ms`). 500 ms.
    pub max_wait: Duration,
    /// What a broker waits for, 1 or more (`fetch.min.bytes`). 1: it answers as soon as there is
    /// anything. What it is known to have already is not waited for.
    pub min_bytes: i32,
    /// The most bytes of one answer, of which a single batch may be more (`fetch.max.bytes`).
    /// 50 MiB; a twelfth of a leader's share of
    /// [`max_buffered_bytes`](Self::max_buffered_bytes) is the limit as well.
    pub max_bytes: i32,
    /// The most bytes of one partition in an answer, of which a single batch may be more
    /// (`max.partition.fetch.bytes`). 1 MiB.
    pub partition_max_bytes: i32,
    /// The most bytes that wait for the caller or are asked for, over all partitions
    /// (librdkafka's `queued.max.messages.kbytes`). 64 MiB.
    ///
    /// What an answer holds counts until all of it was delivered and each [`Records`] of it
    /// is dropped; records that the caller keeps longer keep their answer in memory, uncounted. A
    /// batch above the limit comes nevertheless, bounded by the connection's largest frame. Each
    /// leader has an equal share, so that a slow one takes nothing from the others.
    ///
    /// An answer's memory may be 64 KiB and a quarter larger than it. Besides, each [`Client`](crate::Client)
    /// keeps up to 16 MiB that nobody holds any more for its next answers.
    ///
    /// Answers count as they came. Of compressed ones, one batch at a time is decompressed besides,
    /// up to [`max_batch_bytes`](Self::max_batch_bytes), and stays while the caller keeps records
    /// of it.
    ///
    /// [`Records`]: crate::Records
    pub max_buffered_bytes: usize,
    /// The most bytes that one batch may have when decompressed; one with more stops its partition.
    /// 64 MiB.
    pub max_batch_bytes: usize,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            start: StartPosition::default(),
            isolation: Isolation::ReadCommitted,
            check_crcs: true,
            max_poll_records: 500,
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            max_buffered_bytes: 64 << 20,
            max_batch_bytes: Decompressor::DEFAULT_MAX_BYTES,
        }
    }
}

impl FetchSettings {
    /// Refuses what cannot work.
    pub(crate) fn validate(&self) -> Result<()> {
        let at_least_one = [
            ("max_poll_records", self.max_poll_records as i64),
            ("min_bytes", self.min_bytes.into()),
            ("max_bytes", self.max_bytes.into()),
            ("partition_max_bytes", self.partition_max_bytes.into()),
            ("max_buffered_bytes", self.max_buffered_bytes as i64),
            ("max_batch_bytes", self.max_batch_bytes as i64),
        ];
        for (name, value) in at_least_one {
            if value < 1 {
                let problem = format!("is {value}; 1 and more are allowed");
                return Err(Error::invalid_input(name, problem));
            }
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(600));
        if !(least..=most).contains(&self.max_wait) {
            let problem = format!("is {:?}; 1 ms to 10 minutes are allowed", self.max_wait);
            return Err(Error::invalid_input("max_wait", problem));
        }
        if let StartPosition::Timestamp(time) = self.start
            && time < 0
        {
            let problem = format!("is {time} ms; 0 and more are allowed");
            return Err(Error::invalid_input("start", problem));
        }
        Ok(())
    }

    pub(super) fn committed(&self) -> bool {
        self.isolation == Isolation::ReadCommitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        assert!(FetchSettings::default().validate().is_ok());
        type Spoil = fn(&mut FetchSettings);
        let wrong: [(&str, Spoil); 8] = [
            ("max_poll_records", |settings| settings.max_poll_records = 0),
            ("max_bytes", |settings| settings.max_bytes = 0),
            ("min_bytes", |settings| settings.min_bytes = 0),
            ("partition_max_bytes", |settings| {
                settings.partition_max_bytes = -1;
            }),
            ("max_buffered_bytes", |settings| {
                settings.max_buffered_bytes = 0;
            }),
            ("max_batch_bytes", |settings| settings.max_batch_bytes = 0),
            ("max_wait", |settings| settings.max_wait = Duration::ZERO),
            ("start", |settings| {
                settings.start = StartPosition::Timestamp(-1);
            }),
        ];
        for (name, spoil) in wrong {
            let mut settings = FetchSettings::default();
            spoil(&mut settings);
            let error = settings.validate().unwrap_err();
            assert_eq!(error.field(), Some(name), "{error}");
        }
    }
}
