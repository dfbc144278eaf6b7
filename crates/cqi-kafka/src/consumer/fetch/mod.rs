//! Brings the records of partitions, from their leaders, within bounds.

use std::collections::BTreeSet;

use cqi_errors::{Error, Result};

use crate::TopicPartition;
use crate::client::Client;
use crate::membership::Offset;

/// Owns a task per leading broker; see `close`.
#[derive(Debug)]
pub(crate) struct Fetcher {}

/// Records of one partition, in order.
#[derive(Debug)]
pub struct Records {}

/// How to fetch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchSettings {}

impl Fetcher {
    pub(crate) fn start(client: Client, settings: FetchSettings) -> Self {
        let _ = (client, settings);
        Self {}
    }

    /// Takes partitions up; fetching begins when their positions are known.
    pub(crate) fn assign(&self, partitions: &BTreeSet<TopicPartition>) {
        let _ = partitions;
    }

    /// Says where assigned partitions begin; without an offset, as the start position says.
    pub(crate) fn position(&self, positions: Vec<(TopicPartition, Option<Offset>)>) {
        let _ = positions;
    }

    /// Gives partitions up: what was fetched and not yet delivered is dropped, what is on its way is ignored.
    pub(crate) fn remove(&self, partitions: &BTreeSet<TopicPartition>) {
        let _ = partitions;
    }

    /// Waits for the next records, partitions in turn. Cancel safe.
    pub(crate) async fn next(&self) -> Result<Records> {
        Err(Error::permanent("not built yet"))
    }

    /// Ends the tasks and waits for them.
    pub(crate) async fn close(self) {}
}
