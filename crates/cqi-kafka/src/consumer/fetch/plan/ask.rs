use super::slot::Due;
use super::{Lane, Now, Plan};
use crate::TopicPartition;
use crate::consumer::fetch::budget::Lease;

/// A request to make.
#[derive(Debug)]
pub(in crate::consumer::fetch) struct Ask {
    pub(super) id: u64,
    pub(super) node: i32,
    pub(super) lane: Lane,
    pub(in crate::consumer::fetch) wants: Vec<Want>,
    pub(in crate::consumer::fetch) max_bytes: i32,
    pub(in crate::consumer::fetch) min_bytes: i32,
    /// Whether something is left for the other lane, now or later.
    pub(in crate::consumer::fetch) beside: bool,
    pub(super) lease: Lease,
}

/// One partition of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consumer::fetch) struct Want {
    pub(in crate::consumer::fetch) partition: TopicPartition,
    pub(in crate::consumer::fetch) offset: i64,
    /// Of the leader, as far as known.
    pub(in crate::consumer::fetch) leader_epoch: i32,
    /// Of what was read last, -1 if unknown; the leader tells when its log has something else there.
    pub(in crate::consumer::fetch) last_epoch: i32,
}

/// A partition that may be asked for.
#[derive(Debug)]
struct Candidate {
    /// What is served less and longer ago comes first.
    turn: (usize, u64),
    /// Whether its leader is known to have more.
    is_behind: bool,
    want: Want,
}

impl Plan {
    /// Says what to ask a broker for now; or when to look again, if by then nothing else changed.
    pub(in crate::consumer::fetch) fn ask(
        &mut self,
        node: i32,
        lane: Lane,
        now: Now,
    ) -> Result<Ask, Option<Now>> {
        let polled = self.nodes.get(&node).is_some_and(|node| node.polled);
        if polled != (lane == Lane::Side) {
            return Err(None);
        }
        let isolation = self.settings.isolation;
        let mut due = Vec::new();
        let mut wake = None;
        for (name, slot) in self.partitions.iter() {
            let Some(leader) = slot.leader.filter(|leader| leader.node == node) else {
                continue;
            };
            match slot.due(now, lane, isolation) {
                Due::Now => {
                    let want = Want {
                        partition: name,
                        offset: slot.fetch_at,
                        leader_epoch: leader.epoch,
                        last_epoch: slot.fetch_epoch.unwrap_or(-1),
                    };
                    due.push(Candidate {
                        turn: (slot.depth(), slot.served),
                        is_behind: slot.is_behind(isolation),
                        want,
                    });
                }
                Due::At(at) => wake = Some(wake.map_or(at, |wake: Now| wake.min(at))),
                Due::Not => {}
            }
        }
        if due.is_empty() {
            return Err(wake);
        }
        let Some(lease) = self.reserve(node, due.len()) else {
            return Err(wake);
        };
        // A broker fills its answer in the order of the request.
        due.sort_unstable_by_key(|candidate| candidate.turn);
        let is_part = leave_a_part(&mut due, self.fits(&lease));
        let is_behind = due.iter().any(|candidate| candidate.is_behind);
        let wants: Vec<_> = due.into_iter().map(|candidate| candidate.want).collect();
        let id = self.id();
        for want in &wants {
            if let Some(slot) = self.partitions.get_mut(&want.partition) {
                slot.asked = Some(id);
                slot.asked_by = lane;
            }
        }
        self.set_polled(node, lane, true);
        let max_bytes = i32::try_from(lease.bytes()).unwrap_or(i32::MAX);
        Ok(Ask {
            id,
            node,
            lane,
            wants,
            max_bytes,
            // What is there already is not waited for, however little of it the other lane leaves.
            min_bytes: if is_behind {
                1
            } else {
                self.settings.min_bytes
            },
            beside: lane == Lane::Main && (wake.is_some() || is_part),
            lease,
        })
    }

    /// Returns how many partitions can bring as much as they may.
    fn fits(&self, lease: &Lease) -> usize {
        let part = self.settings.partition_max_bytes.unsigned_abs() as usize;
        lease.bytes().div_ceil(part.max(1))
    }
}

/// Leaves half of those that are behind to the other connection, and says whether it did.
///
/// Where more are behind than an answer holds, half of them fill it as well; the others come at the
/// same time.
fn leave_a_part(due: &mut Vec<Candidate>, fits: usize) -> bool {
    let behind = due.iter().filter(|candidate| candidate.is_behind).count();
    if behind <= fits {
        return false;
    }
    let mut room = behind.div_ceil(2).max(fits);
    due.retain(|candidate| {
        let keep = !candidate.is_behind || room > 0;
        room -= usize::from(candidate.is_behind && keep);
        keep
    });
    true
}
