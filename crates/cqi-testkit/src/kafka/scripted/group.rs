//! One group, as its coordinator sees it: simpler than Kafka's, which spares followers and static
//! members some rebalances.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::JoinGroupRequest;
use tokio::time::Instant;

pub(super) const ILLEGAL_GENERATION: i16 = 22;
const INCONSISTENT_PROTOCOL: i16 = 23;
pub(super) const UNKNOWN_MEMBER: i16 = 25;
pub(super) const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;
const FENCED_INSTANCE_ID: i16 = 82;

#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) members: BTreeMap<String, Member>,
    /// Ids that were given out, and not yet used.
    pending: BTreeSet<String>,
    given: u64,
    pub(super) generation: i32,
    pub(super) phase: Phase,
    pub(super) leader: String,
    pub(super) protocol: String,
    pub(super) offsets: BTreeMap<(String, i32), Committed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Phase {
    #[default]
    Empty,
    /// Waits for the members until then.
    Joining(Instant),
    /// Waits for the leader's assignments.
    Syncing,
    Stable,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) instance: Option<String>,
    pub(super) protocols: Vec<(String, Bytes)>,
    session: Duration,
    rebalance: Duration,
    seen: Instant,
    /// Waits for the answer to its JoinGroup.
    pub(super) joining: bool,
    pub(super) assignment: Bytes,
}

#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) offset: i64,
    pub(super) epoch: i32,
    pub(super) metadata: String,
}

impl Group {
    /// Takes a member in, to be answered when the group is complete; fails with a code and the
    /// member's id.
    pub(super) fn join(
        &mut self,
        request: &JoinGroupRequest,
        client: &str,
        now: Instant,
    ) -> Result<String, (i16, String)> {
        self.expire(now);
        let asked = request.member_id.as_str();
        let instance = request.group_instance_id.as_deref();
        let id = match instance {
            Some(instance) => self.static_member(asked, instance)?,
            None if asked.is_empty() => {
                let id = self.id(client);
                self.pending.insert(id.clone());
                return Err((MEMBER_ID_REQUIRED, id));
            }
            None if self.pending.contains(asked) || self.members.contains_key(asked) => {
                asked.to_owned()
            }
            None => return Err((UNKNOWN_MEMBER, asked.to_owned())),
        };
        let protocols = request.protocols.iter();
        let protocols = protocols.map(|it| (it.name.to_string(), it.metadata.clone()));
        let rebalance = milliseconds(request.rebalance_timeout_ms);
        let member = Member {
            instance: instance.map(str::to_owned),
            protocols: protocols.collect(),
            session: milliseconds(request.session_timeout_ms),
            rebalance,
            seen: now,
            joining: true,
            assignment: Bytes::new(),
        };
        let others = self.members.iter().filter(|(other, _)| **other != id);
        if !member
            .protocols
            .iter()
            .any(|(name, _)| others.clone().all(|(_, other)| other.knows(name)))
        {
            return Err((INCONSISTENT_PROTOCOL, id));
        }
        self.pending.remove(&id);
        self.members.insert(id.clone(), member);
        self.rebalance(now);
        self.complete(now);
        Ok(id)
    }

    fn static_member(&mut self, asked: &str, instance: &str) -> Result<String, (i16, String)> {
        let is = |member: &Member| member.instance.as_deref() == Some(instance);
        let known = self.members.iter().find(|(_, member)| is(member));
        match known.map(|(id, _)| id.clone()) {
            Some(id) if asked == id => Ok(id),
            Some(id) if asked.is_empty() => {
                self.members.remove(&id);
                Ok(self.id(instance))
            }
            Some(_) => Err((FENCED_INSTANCE_ID, asked.to_owned())),
            None if asked.is_empty() => Ok(self.id(instance)),
            None => Err((UNKNOWN_MEMBER, asked.to_owned())),
        }
    }

    fn id(&mut self, name: &str) -> String {
        self.given += 1;
        format!("{name}-{}", self.given)
    }

    /// Has all members join again.
    pub(super) fn rebalance(&mut self, now: Instant) {
        let limit = self.members.values().map(|member| member.rebalance).max();
        match self.phase {
            _ if self.members.is_empty() => self.phase = Phase::Empty,
            Phase::Joining(_) => {}
            _ => self.phase = Phase::Joining(now + limit.unwrap_or_default()),
        }
    }

    /// Begins a generation when all members are there, or have had their time.
    pub(super) fn complete(&mut self, now: Instant) {
        let Phase::Joining(until) = self.phase else {
            return;
        };
        if now < until && !self.members.values().all(|member| member.joining) {
            return;
        }
        self.members.retain(|_, member| member.joining);
        let Some(first) = self.members.keys().next() else {
            self.phase = Phase::Empty;
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first.clone();
        }
        self.protocol = self.common();
        self.generation += 1;
        self.phase = Phase::Syncing;
        for member in self.members.values_mut() {
            member.joining = false;
            member.seen = now;
            member.assignment = Bytes::new();
        }
    }

    /// The first of the leader's protocols that all have.
    fn common(&self) -> String {
        let leader = self.members.get(&self.leader);
        let protocols = leader.map(|leader| leader.protocols.iter()).into_iter();
        let mut names = protocols.flatten().map(|(name, _)| name);
        let common = names.find(|name| self.members.values().all(|member| member.knows(name)));
        common.cloned().unwrap_or_default()
    }

    /// Removes members that were not heard of.
    pub(super) fn expire(&mut self, now: Instant) {
        let before = self.members.len();
        let alive = |member: &Member| member.joining || now < member.seen + member.session;
        self.members.retain(|_, member| alive(member));
        if self.members.len() < before {
            self.rebalance(now);
        }
        self.complete(now);
    }

    /// Checks who asks, and marks the member as alive.
    pub(super) fn check(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<&mut Member, i16> {
        self.expire(now);
        let taken = |member: &Member| instance.is_some() && member.instance.as_deref() == instance;
        if self
            .members
            .iter()
            .any(|(other, member)| other != id && taken(member))
        {
            return Err(FENCED_INSTANCE_ID);
        }
        let member = self.members.get_mut(id).ok_or(UNKNOWN_MEMBER)?;
        member.seen = now;
        match generation == self.generation {
            true => Ok(member),
            false => Err(ILLEGAL_GENERATION),
        }
    }

    /// Removes a member that leaves, or a static one by its instance's name.
    pub(super) fn leave(
        &mut self,
        id: &str,
        instance: Option<&str>,
        now: Instant,
    ) -> Result<(), i16> {
        let is = |member: &Member| instance.is_some() && member.instance.as_deref() == instance;
        let id = match instance {
            Some(_) => match self.members.iter().find(|(_, member)| is(member)) {
                Some((known, _)) if id.is_empty() || known == id => known.clone(),
                Some(_) => return Err(FENCED_INSTANCE_ID),
                None => return Err(UNKNOWN_MEMBER),
            },
            None => id.to_owned(),
        };
        if self.members.remove(&id).is_none() && !self.pending.remove(&id) {
            return Err(UNKNOWN_MEMBER);
        }
        self.rebalance(now);
        self.complete(now);
        Ok(())
    }
}

impl Member {
    fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }
}

fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(count.max(0).unsigned_abs().into())
}
