//! From one generation to the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::phase::{Election, Identity, Joined, Lead, Phase, Then};
use super::verdict::Verdict;
use super::{Action, Change, JoinedMember, Membership, Request, RequestId, Response, RevocationId};
use crate::TopicPartition;
use crate::assignor::{Assignment, Assignor, Member, PartitionCounts, Rebalance, Subscription};

/// `INCONSISTENT_GROUP_PROTOCOL`: the group agreed on what this member never offered.
const INCONSISTENT_PROTOCOL: i16 = 23;
/// Beyond the rebalance timeout, for the broker to answer.
const JOIN_LATENCY: Duration = Duration::from_secs(5);

impl Membership {
    /// Joins again, after the caller has given back what it must not take along.
    pub(super) fn rejoin(&mut self) {
        let back: BTreeSet<_> = match Rebalance::of(&self.settings.assignors) {
            Rebalance::Eager => self.owned.clone(),
            Rebalance::Cooperative => {
                let unwanted = |owned: &&TopicPartition| !self.topics.contains(owned.topic());
                self.owned.iter().filter(unwanted).cloned().collect()
            }
        };
        if back.is_empty() {
            self.wait(Duration::ZERO);
        } else {
            self.revoke(back, Then::Rejoin);
        }
    }

    pub(super) fn wait(&mut self, pause: Duration) {
        self.reset_heartbeat();
        let until = self.now + pause;
        self.phase = Phase::Waiting { until };
    }

    pub(super) fn join(&mut self) {
        let mut subscription = Subscription::new(self.topics.iter().cloned())
            .owning(self.owned.clone(), self.generation().unwrap_or(-1));
        subscription.rack.clone_from(&self.settings.rack);
        let metadata = subscription.encode();
        let protocols = self.settings.assignors.iter();
        let request = Request::JoinGroup {
            member_id: self.identity.id().cloned().unwrap_or_default(),
            instance_id: self.settings.instance_id.clone(),
            session_timeout: self.settings.session_timeout,
            rebalance_timeout: self.settings.max_poll_interval,
            protocols: protocols.map(|a| (a.name(), metadata.clone())).collect(),
        };
        let parked = self.settings.max_poll_interval + JOIN_LATENCY;
        let request = self.ask(request, parked.max(self.settings.request_timeout));
        let topics = self.topics.clone();
        self.phase = Phase::Joining { request, topics };
    }

    pub(super) fn on_joined(&mut self, id: RequestId, response: Response) {
        let Response::JoinGroup {
            code,
            generation,
            protocol,
            leader,
            member_id,
            skip_assignment,
            members,
        } = response
        else {
            return;
        };
        let topics = match &mut self.phase {
            Phase::Joining { request, topics } if *request == id => std::mem::take(topics),
            _ => return,
        };
        match Verdict::of(code) {
            Verdict::Fine => {}
            Verdict::MemberIdRequired => {
                self.identity = Identity::Named(member_id);
                let pause = self.pause_if_repeated();
                return self.wait(pause);
            }
            verdict => return self.refused("JoinGroup", code, verdict),
        }
        self.identity = Identity::Member {
            id: Arc::clone(&member_id),
            generation,
        };
        self.reset_heartbeat();
        if leader != member_id {
            return self.sync(protocol, Vec::new(), Joined { topics, lead: None });
        }
        let Some(assignor) = self.agreed(&protocol) else {
            return self.fail("JoinGroup", INCONSISTENT_PROTOCOL);
        };
        let members: Vec<_> = members.into_iter().map(read).collect();
        let election = Election {
            assignor,
            members,
            skip: skip_assignment,
            topics,
        };
        self.watch(&election.wanted() | &self.topics);
        self.phase = Phase::Leading(election);
    }

    pub(super) fn on_topics(&mut self, counts: PartitionCounts) {
        self.counts = counts;
        if let Phase::Leading(election) = &self.phase {
            let election = election.clone();
            self.decide(election);
        }
    }

    /// Decides for the group, with topics known as they are now.
    fn decide(&mut self, election: Election) {
        let members = &election.members;
        let mut lead = Lead::new(election.wanted(), &self.counts);
        let mut assignments = Vec::new();
        let mut complete = election.assignor.rebalance() == Rebalance::Eager;
        if !election.skip {
            let shares = election.assignor.assign(members, &lead.counts);
            complete |= shares.values().map(BTreeSet::len).sum::<usize>() == lead.partitions();
            let encode = |(id, share)| (id, Assignment::new(share).encode());
            assignments = shares.into_iter().map(encode).collect();
        }
        if !complete {
            lead.revisit_at = Some(self.now + self.settings.max_poll_interval);
        }
        let joined = Joined {
            topics: election.topics,
            lead: Some(lead),
        };
        self.sync(election.assignor.name().into(), assignments, joined);
    }

    fn sync(&mut self, protocol: Arc<str>, assignments: Vec<(Arc<str>, Bytes)>, joined: Joined) {
        let Identity::Member { id, generation } = self.identity.clone() else {
            return;
        };
        let request = Request::SyncGroup {
            generation,
            member_id: id,
            instance_id: self.settings.instance_id.clone(),
            protocol,
            assignments,
        };
        let request = self.ask(request, self.settings.request_timeout);
        self.phase = Phase::Syncing { request, joined };
    }

    fn agreed(&self, protocol: &str) -> Option<Assignor> {
        Assignor::from_name(protocol).filter(|agreed| self.settings.assignors.contains(agreed))
    }

    pub(super) fn on_synced(&mut self, id: RequestId, code: i16, assignment: &[u8]) {
        if !matches!(&self.phase, Phase::Syncing { request, .. } if *request == id) {
            return;
        }
        match Verdict::of(code) {
            Verdict::Fine => {}
            verdict => return self.refused("SyncGroup", code, verdict),
        }
        // The coordinator fills in nothing for a member that the leader left out.
        let assignment = match assignment {
            [] => Assignment::default(),
            message => match Assignment::decode(message) {
                Ok(assignment) => assignment,
                Err(_) => return self.refused("SyncGroup", code, Verdict::Retry),
            },
        };
        if let Phase::Syncing { joined, .. } = std::mem::replace(&mut self.phase, Phase::Out) {
            self.phase = Phase::Stable(joined);
        }
        self.succeeded();
        let wanted = |partition: &TopicPartition| self.topics.contains(partition.topic());
        let share: BTreeSet<_> = assignment.partitions.into_iter().filter(wanted).collect();
        let back = &self.owned - &share;
        let added = &share - &self.owned;
        self.owned.extend(added.iter().cloned());
        self.offsets.want(&added);
        self.say(Action::Notify(Change::Assigned(added)));
        if !back.is_empty() {
            self.revoke(back, Then::Rejoin);
        }
        if self.topics.is_empty() {
            self.leave();
        }
    }

    /// What a refusal means to a member between two generations.
    fn refused(&mut self, api: &'static str, code: i16, verdict: Verdict) {
        match verdict {
            Verdict::Fatal => self.fail(api, code),
            Verdict::Expelled { keep_id } => self.expelled(keep_id),
            Verdict::FindAgain => {
                self.find_again();
                self.wait(Duration::ZERO);
            }
            Verdict::Rejoin => {
                let pause = self.pause_if_repeated();
                self.wait(pause);
            }
            Verdict::Retry | Verdict::MemberIdRequired | Verdict::Fine => {
                self.say(Action::Warn { api, code });
                let pause = self.pause();
                self.wait(pause);
            }
        }
    }

    /// The group went on without this member: it starts afresh.
    pub(super) fn expelled(&mut self, keep_id: bool) {
        let id = self.identity.id().filter(|_| keep_id).cloned();
        self.identity = id.map_or(Identity::Stranger, Identity::Named);
        self.lose();
        if self.topics.is_empty() {
            self.reset_heartbeat();
            self.phase = Phase::Out;
        } else {
            let pause = self.pause_if_repeated();
            self.wait(pause);
        }
    }

    pub(super) fn revoke(&mut self, partitions: BTreeSet<TopicPartition>, then: Then) {
        self.offsets.forget(&partitions);
        let id = RevocationId(self.next_id());
        let (notified, by) = (partitions.clone(), then);
        self.phase = Phase::Revoking {
            id,
            partitions,
            then: by,
        };
        self.say(Action::Notify(Change::Revoked {
            id,
            partitions: notified,
        }));
    }

    pub(super) fn on_revocation_done(&mut self, done: RevocationId) {
        let Phase::Revoking {
            id,
            partitions,
            then,
        } = &mut self.phase
        else {
            return;
        };
        if *id != done {
            return;
        }
        let (partitions, then) = (std::mem::take(partitions), *then);
        self.owned = &self.owned - &partitions;
        self.renew_poll();
        match then {
            Then::Rejoin => self.rejoin(),
            Then::Leave if self.owned.is_empty() => self.leave(),
            Then::Leave => self.revoke(self.owned.clone(), Then::Leave),
        }
    }

    pub(super) fn lose(&mut self) {
        if !self.owned.is_empty() {
            let partitions = self.disown();
            self.say(Action::Notify(Change::Lost(partitions)));
        }
    }

    pub(super) fn disown(&mut self) -> BTreeSet<TopicPartition> {
        let partitions = std::mem::take(&mut self.owned);
        self.offsets.forget(&partitions);
        partitions
    }

    pub(super) fn is_joining_by(&self, id: RequestId) -> bool {
        matches!(
            self.phase,
            Phase::Joining { request, .. } | Phase::Syncing { request, .. } if request == id
        )
    }
}

/// Who cannot be understood wants nothing, and does not keep the others from their work.
fn read(member: JoinedMember) -> Member {
    let subscription = Subscription::decode(&member.metadata).unwrap_or_default();
    let read = Member::new(member.member_id, subscription);
    match member.instance_id {
        Some(instance) => read.with_instance_id(instance),
        None => read,
    }
}
