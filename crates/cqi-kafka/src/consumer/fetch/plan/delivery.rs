use cqi_errors::Result;

use super::Plan;
use crate::TopicPartition;
use crate::consumer::fetch::Position;
use crate::consumer::fetch::chunk::{Chunk, Page};

/// A chunk to read from.
#[derive(Debug)]
pub(in crate::consumer::fetch) struct Taken {
    id: u64,
    pub(in crate::consumer::fetch) partition: TopicPartition,
    pub(in crate::consumer::fetch) chunk: Chunk,
}

/// Where a partition is after a page.
#[derive(Debug)]
pub(in crate::consumer::fetch) struct GivenBack {
    pub(in crate::consumer::fetch) position: Position,
    /// Whether there may be something to ask for because of it.
    pub(in crate::consumer::fetch) wakes: bool,
}

impl Plan {
    /// Has a partition wait for its turn, if it has something to deliver.
    pub(super) fn enqueue(&mut self, partition: &TopicPartition) {
        if let Some(slot) = self.partitions.get_mut(partition)
            && slot.is_deliverable()
            && !std::mem::replace(&mut slot.queued, true)
        {
            self.ready.push_back(partition.clone());
        }
    }

    /// Hands out the next chunk to read from, or the next error to tell.
    ///
    /// What is taken is given back before long.
    pub(in crate::consumer::fetch) fn take(&mut self) -> Option<Result<Taken>> {
        if let Some(trouble) = self.trouble.take() {
            return Some(Err(trouble));
        }
        while let Some(partition) = self.ready.pop_front() {
            let id = self.id();
            let Some(slot) = self.partitions.get_mut(&partition) else {
                continue;
            };
            slot.queued = false;
            if !slot.is_deliverable() {
                continue;
            }
            if let Some(chunk) = slot.chunks.pop_front() {
                slot.taken = Some(id);
                return Some(Ok(Taken {
                    id,
                    partition,
                    chunk,
                }));
            }
            if let Some(error) = slot.error.take() {
                return Some(Err(error));
            }
        }
        None
    }

    /// Takes a chunk back of which a page was read.
    ///
    /// The page may be delivered if it is still of the current position, which is returned.
    pub(in crate::consumer::fetch) fn give_back(
        &mut self,
        mut taken: Taken,
        page: &mut Page,
    ) -> Option<GivenBack> {
        let isolation = self.settings.isolation;
        let slot = self.partitions.get_mut(&taken.partition)?;
        slot.taken.take_if(|id| *id == taken.id)?;
        slot.position = page.next;
        slot.epoch = page.epoch.or(slot.epoch);
        let mut ended = true;
        if let Some(error) = page.error.take() {
            slot.stop(error.context(format!(
                "{} cannot be read at offset {}",
                taken.partition, page.next
            )));
        } else if page.is_last {
            slot.go_on();
        } else {
            ended = false;
            if slot.paused {
                taken.chunk.rest(slot.position);
            }
            slot.chunks.push_front(taken.chunk);
            // Read to its end before the next one's turn: one batch is decompressed at a time.
            if slot.is_deliverable() && !std::mem::replace(&mut slot.queued, true) {
                self.ready.push_front(taken.partition.clone());
            }
        }
        // While it is asked for, or paused, only others gain: those for whom there was no room.
        let wakes =
            (ended && slot.asked.is_none()) || ((ended || slot.paused) && self.budget.is_wanted());
        let position = slot.position(isolation);
        self.enqueue(&taken.partition);
        Some(GivenBack { position, wakes })
    }
}
