use std::collections::BTreeMap;

use cqi_errors::Result;

use super::slot::{Due, Progress};
use super::{Now, Plan};
use crate::TopicPartition;
use crate::client::ListedOffset;
use crate::consumer::fetch::StartPosition;

/// Offsets to look up at one broker.
#[derive(Debug)]
pub(in crate::consumer::fetch) struct Lookup {
    id: u64,
    pub(in crate::consumer::fetch) wanted: BTreeMap<TopicPartition, StartPosition>,
}

impl Plan {
    /// Says which offsets to look up now, by broker; or when to look again.
    pub(in crate::consumer::fetch) fn lookups(&mut self, now: Now) -> (Vec<Lookup>, Option<Now>) {
        let mut wake: Option<Now> = None;
        let mut due: BTreeMap<Option<i32>, Vec<(TopicPartition, StartPosition)>> = BTreeMap::new();
        for (name, slot) in self.partitions.iter() {
            let node = slot.leader.map(|leader| leader.node);
            match slot.reset_due(now) {
                Some((start, Due::Now)) => due.entry(node).or_default().push((name, start)),
                Some((_, Due::At(at))) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                _ => {}
            }
        }
        let mut lookups = Vec::new();
        for wanted in due.into_values() {
            let id = self.id();
            for (partition, _) in &wanted {
                if let Some(slot) = self.partitions.get_mut(partition) {
                    slot.asked = Some(id);
                }
            }
            let wanted = wanted.into_iter().collect();
            lookups.push(Lookup { id, wanted });
        }
        (lookups, wake)
    }

    /// Takes what a lookup found; none means that there is no such record.
    pub(in crate::consumer::fetch) fn looked_up(
        &mut self,
        lookup: &Lookup,
        mut found: BTreeMap<TopicPartition, Result<Option<ListedOffset>>>,
        now: Now,
    ) {
        for (partition, start) in &lookup.wanted {
            let Some(slot) = self.partitions.get_mut(partition) else {
                continue;
            };
            if slot.asked.take_if(|asked| *asked == lookup.id).is_none() {
                continue;
            }
            match found.remove(partition) {
                Some(Ok(Some(listed))) => slot.begin_at(listed.offset, None),
                Some(Ok(None)) if matches!(start, StartPosition::Timestamp(_)) => {
                    slot.progress = Progress::Reset(StartPosition::Latest);
                }
                Some(Err(error)) if !error.kind().is_retryable() => slot.tell(error, now),
                Some(Err(error)) => {
                    tracing::debug!(%partition, %error, "the offset could not be looked up yet");
                    slot.hold(now);
                }
                // Each log begins and ends somewhere.
                Some(Ok(None)) | None => slot.hold(now),
            }
            self.enqueue(partition);
        }
    }
}
