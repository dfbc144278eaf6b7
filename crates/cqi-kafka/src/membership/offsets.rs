//! What is committed, and where to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::phase::{Identity, Phase};
use super::verdict::Verdict;
use super::{Action, CommitError, Membership, Offset, Request, RequestId};
use crate::TopicPartition;

#[derive(Debug, Clone, Default)]
pub(super) struct Offsets {
    /// Owned, and not known yet where to go on.
    wanted: BTreeSet<TopicPartition>,
    fetch: Option<RequestId>,
    fetch_at: Duration,
    /// In a row, of fetches; heartbeats succeed meanwhile.
    failures: u32,
    commit: Option<Commit>,
}

#[derive(Debug, Clone)]
struct Commit {
    request: RequestId,
    id: u64,
    by: Identity,
}

impl Offsets {
    /// Asks anew: an answer under way lacks the new ones, or has them as they were before another
    /// member worked on them.
    pub(super) fn want(&mut self, partitions: &BTreeSet<TopicPartition>) {
        if !partitions.is_empty() {
            self.wanted.extend(partitions.iter().cloned());
            self.fetch = None;
            self.fetch_at = Duration::ZERO;
        }
    }

    pub(super) fn forget(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.wanted = &self.wanted - partitions;
    }
}

impl Membership {
    pub(super) fn on_commit(&mut self, id: u64, offsets: BTreeMap<TopicPartition, Offset>) {
        let outcome = self.try_commit(id, offsets);
        if let Some(outcome) = outcome.transpose() {
            self.say(Action::Committed { id, outcome });
        }
    }

    /// Returns what is known at once; nothing while the broker is asked.
    fn try_commit(
        &mut self,
        id: u64,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> Result<Option<()>, CommitError> {
        if self.offsets.commit.is_some() {
            return Err(CommitError::Busy);
        }
        if let Some(other) = offsets.keys().find(|asked| !self.owned.contains(*asked)) {
            return Err(CommitError::NotOwned(other.clone()));
        }
        let by = self.identity.clone();
        let (
            Phase::Stable(_) | Phase::Revoking { .. },
            Identity::Member {
                id: member_id,
                generation,
            },
        ) = (&self.phase, self.identity.clone())
        else {
            return Err(CommitError::Rebalancing);
        };
        if offsets.is_empty() {
            return Ok(Some(()));
        }
        if self.coordinator().is_none() {
            return Err(CommitError::Unavailable);
        }
        let request = Request::OffsetCommit {
            generation,
            member_id,
            instance_id: self.settings.instance_id.clone(),
            offsets,
        };
        let request = self.ask(request, self.settings.request_timeout);
        self.offsets.commit = Some(Commit { request, id, by });
        Ok(None)
    }

    pub(super) fn on_committed(&mut self, request: RequestId, codes: &[(TopicPartition, i16)]) {
        let Some(commit) = self
            .offsets
            .commit
            .take_if(|commit| commit.request == request)
        else {
            return;
        };
        let current = commit.by == self.identity;
        let mut outcome = Ok(());
        for (partition, code) in codes {
            let verdict = Verdict::of(*code);
            let error = match verdict {
                Verdict::Fine => continue,
                _ if Verdict::refuses_offset(*code) => {
                    CommitError::Refused(partition.clone(), *code)
                }
                Verdict::Expelled { .. } => CommitError::Lost,
                Verdict::Rejoin => CommitError::Rebalancing,
                _ if Verdict::may_take_offset_later(*code) => CommitError::Unavailable,
                _ => CommitError::Refused(partition.clone(), *code),
            };
            outcome = outcome.and(Err(error));
            // An answer to an earlier generation says nothing about this one.
            if current {
                self.learn_from_commit(*code, verdict);
            }
        }
        self.say(Action::Committed {
            id: commit.id,
            outcome,
        });
    }

    fn learn_from_commit(&mut self, code: i16, verdict: Verdict) {
        match verdict {
            Verdict::FindAgain => self.find_again(),
            Verdict::Rejoin if self.is_stable() => self.rejoin(),
            // Each partition has the code; the first one changed the identity already.
            Verdict::Expelled { keep_id } if self.generation().is_some() => self.expelled(keep_id),
            Verdict::Fatal if !self.topics.is_empty() => self.fail("OffsetCommit", code),
            _ => {}
        }
    }

    pub(super) fn offset_fetch_due(&self) -> Option<Duration> {
        let asks = matches!(self.phase, Phase::Stable(_) | Phase::Revoking { .. })
            && !self.offsets.wanted.is_empty()
            && self.offsets.fetch.is_none();
        asks.then_some(self.offsets.fetch_at)
    }

    pub(super) fn fetch_offsets(&mut self) {
        let partitions = self.offsets.wanted.clone();
        let timeout = self.settings.request_timeout;
        let request = self.ask(Request::OffsetFetch { partitions }, timeout);
        self.offsets.fetch = Some(request);
    }

    pub(super) fn on_offsets(
        &mut self,
        request: RequestId,
        code: i16,
        offsets: Vec<(TopicPartition, i16, Option<Offset>)>,
    ) {
        if self.offsets.fetch != Some(request) {
            return;
        }
        self.offsets.fetch = None;
        let mut known = Vec::new();
        let mut worst = code;
        // One that is not ready, as with a transaction that is open, does not hold up the others.
        for (partition, its_code, offset) in offsets {
            if its_code != 0 {
                worst = its_code;
            } else if code == 0 && self.offsets.wanted.remove(&partition) {
                known.push((partition, offset));
            }
        }
        if !known.is_empty() {
            self.say(Action::Positions(known));
        }
        if self.offsets.wanted.is_empty() {
            self.offsets.failures = 0;
            return;
        }
        self.postpone_fetch();
        match Verdict::of(worst) {
            Verdict::FindAgain => self.find_again(),
            Verdict::Fatal => self.fail("OffsetFetch", worst),
            // A member that may not read what it owns makes room for one that may.
            _ if Verdict::refuses_offset(worst) => {
                self.send_leave();
                self.fail("OffsetFetch", worst);
            }
            _ => self.say(Action::Warn {
                api: "OffsetFetch",
                code: worst,
            }),
        }
    }

    fn postpone_fetch(&mut self) {
        self.offsets.failures += 1;
        self.offsets.fetch_at = self.now + self.pause_after(self.offsets.failures);
    }

    /// Whether the request was about offsets.
    pub(super) fn fail_offsets(&mut self, request: RequestId) -> bool {
        if self.offsets.fetch == Some(request) {
            self.offsets.fetch = None;
            self.postpone_fetch();
            return true;
        }
        let commit = self
            .offsets
            .commit
            .take_if(|commit| commit.request == request);
        if let Some(commit) = &commit {
            self.say(Action::Committed {
                id: commit.id,
                outcome: Err(CommitError::Unavailable),
            });
        }
        commit.is_some()
    }
}
