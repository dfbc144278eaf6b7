use std::sync::Arc;

use super::Plan;
use crate::consumer::fetch::budget::Lease;

impl Plan {
    /// Reserves bytes for the answer about some partitions, as many as are left and useful.
    pub(super) fn reserve(&mut self, node: i32, partitions: usize) -> Option<Lease> {
        let share = Arc::clone(&self.nodes.get(&node)?.share);
        let limit = self.budget.limit() / self.nodes.len();
        // A quiet long poll leaves as much for what becomes due beside it. Where that is less than a
        // batch, the batch comes nevertheless.
        let part = self.settings.partition_max_bytes.unsigned_abs() as usize;
        let part = part.min(limit / 2).max(1);
        // Several answers, so that one that is kept does not keep all of it.
        let whole = part.saturating_mul(partitions);
        let whole = whole.min(self.settings.max_bytes.unsigned_abs() as usize);
        let wanted = whole.min((limit / 12).max(part));
        let least = wanted.min(part);
        let room = |plan: &Self| plan.budget.left().min(limit.saturating_sub(share.used()));
        if room(self) < least {
            self.budget.wake_on_return();
            self.give_up_paused();
        }
        let room = room(self);
        // A caller that keeps what it was given must not end it all.
        let bytes = match room >= least || !self.is_idle(node) {
            true => room,
            false => least,
        };
        (bytes >= least).then(|| self.budget.lease(&share, bytes.min(wanted)))
    }

    /// Frees what waits for partitions that are paused: it is fetched again.
    fn give_up_paused(&mut self) {
        for (_, slot) in self.partitions.iter_mut() {
            if slot.paused && !slot.chunks.is_empty() {
                slot.give_up_buffered();
            }
        }
    }

    /// Whether the broker has nothing under way, and nothing waits for the caller.
    fn is_idle(&self, node: i32) -> bool {
        let mut slots = self.partitions.iter();
        slots.all(|(_, slot)| {
            let is_its = slot.leader.is_some_and(|leader| leader.node == node);
            slot.depth() == 0 && (slot.asked.is_none() || !is_its)
        })
    }
}
