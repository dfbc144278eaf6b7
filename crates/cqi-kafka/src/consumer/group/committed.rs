use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cqi_errors::Result;
use tokio::time::{Instant, sleep};

use super::protocol;
use crate::client::Client;
use crate::membership::Offset;
use crate::{TopicPartition, code};

impl Client {
    /// Returns what a group has committed of each of these partitions; none where it has nothing.
    ///
    /// Its members may be at work meanwhile, here or elsewhere, and there need not be any. With
    /// [`offsets`](Self::offsets) that gives a group's lag.
    ///
    /// # Errors
    ///
    /// - [`Kind::Forbidden`](cqi_errors::Kind::Forbidden): the group or a topic may not be described.
    /// - [`Kind::Temporary`](cqi_errors::Kind::Temporary), [`Kind::Timeout`](cqi_errors::Kind::Timeout):
    ///   the group's coordinator was not found, or does not answer, within `request_timeout`.
    /// - Else what the coordinator refuses it with.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn committed(
        &self,
        group: &str,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Option<Offset>>> {
        let partitions: BTreeSet<_> = partitions.into_iter().collect();
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let deadline = Instant::now() + self.request_timeout();
        let mut pauses = self.retry_pauses();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.try_committed(group, &partitions, left).await {
                Ok(offsets) => return Ok(offsets),
                Err(error) => error,
            };
            let pause = pauses.next();
            if !error.kind().is_retryable() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn try_committed(
        &self,
        group: &str,
        partitions: &BTreeSet<TopicPartition>,
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<Offset>>> {
        let begun = Instant::now();
        let of_group = format!("group {group}");
        let find = protocol::find_coordinator(group);
        let found = self.ask(&find, timeout).await?;
        check("FindCoordinator", found.error_code, &of_group)?;
        let left = timeout.saturating_sub(begun.elapsed());
        let fetch = protocol::offset_fetch(group, partitions);
        let answer = self.ask_node(found.node_id, &fetch, left).await?;
        check("OffsetFetch", answer.error_code, &of_group)?;
        let mut known: BTreeMap<_, _> = partitions.iter().cloned().map(|p| (p, None)).collect();
        for (partition, code, offset) in protocol::fetched(answer) {
            check("OffsetFetch", code, &format!("{of_group}, {partition}"))?;
            known.entry(partition).and_modify(|known| *known = offset);
        }
        Ok(known)
    }
}

fn check(api: &str, code: i16, of: &str) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(code::refused(api, code, of)),
    }
}
