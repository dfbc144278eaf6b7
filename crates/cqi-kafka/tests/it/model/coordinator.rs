//! A group coordinator as Apache Kafka's, without I/O: it holds requests back, forgets what it did
//! not write down when it moves, and expels whoever is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cqi_kafka::TopicPartition;
use cqi_kafka::membership::{JoinedMember, Offset, Request, RequestId, Response};

const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const NOT_COORDINATOR: i16 = 16;
const MEMBER_ID_REQUIRED: i16 = 79;

/// A process of the world, in one of its lives, and its request.
pub(super) type Caller = (usize, u32, RequestId);

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) to: Caller,
    pub(super) response: Response,
    /// Which rebalance the reply belongs to: generations repeat after a move.
    pub(super) epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Preparing { until: Duration },
    Completing,
    Stable,
}

#[derive(Clone, Debug)]
struct Entry {
    instance: Option<Arc<str>>,
    protocol: &'static str,
    metadata: Bytes,
    session: Duration,
    rebalance: Duration,
    expires: Duration,
    join: Option<Caller>,
    sync: Option<Caller>,
    assignment: Bytes,
}

/// What the coordinator writes to its log.
#[derive(Clone, Debug)]
struct Group {
    state: State,
    generation: i32,
    epoch: u64,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct Coordinator {
    pub(super) node: i32,
    pub(super) now: Duration,
    group: Group,
    written: Group,
    pending: BTreeSet<Arc<str>>,
    pub(super) committed: BTreeMap<TopicPartition, i64>,
    /// Commits that were taken, by request.
    pub(super) accepted: BTreeSet<Caller>,
    ids: u32,
    epochs: u64,
    /// The static leader came back, and nothing is to be decided.
    skips: bool,
    pub(super) replies: Vec<Reply>,
    /// Held back and forgotten: their connection breaks or their timeout comes.
    pub(super) dropped: Vec<Caller>,
}

impl Coordinator {
    pub(super) fn new() -> Self {
        let group = Group {
            state: State::Empty,
            generation: 0,
            epoch: 0,
            leader: None,
            members: BTreeMap::new(),
        };
        Self {
            node: 1,
            now: Duration::ZERO,
            written: group.clone(),
            group,
            pending: BTreeSet::new(),
            committed: BTreeMap::new(),
            accepted: BTreeSet::new(),
            ids: 0,
            epochs: 0,
            skips: false,
            replies: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// The dynamic members of the group.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.group
            .members
            .get(id)
            .is_some_and(|m| m.instance.is_none())
    }

    pub(super) fn is_stable(&self) -> bool {
        matches!(self.group.state, State::Stable | State::Empty)
    }

    /// Another broker takes over with what was written down.
    pub(super) fn move_on(&mut self) {
        self.node += 1;
        self.pending.clear();
        let lost = std::mem::replace(&mut self.group, self.written.clone());
        for member in lost.members.values() {
            self.dropped
                .extend(member.join.into_iter().chain(member.sync));
        }
        for member in self.group.members.values_mut() {
            member.expires = self.now + member.session;
        }
    }

    pub(super) fn advance(&mut self, now: Duration) {
        self.now = now;
        let silent = |m: &Entry| m.join.is_none() && m.sync.is_none() && m.expires <= now;
        let members = self.group.members.iter();
        let dead: Vec<_> = members
            .filter(|(_, m)| silent(m))
            .map(|(id, _)| id.clone())
            .collect();
        dead.iter().for_each(|id| self.remove(id));
        if matches!(self.group.state, State::Preparing { until } if until <= now) {
            self.complete_join();
        }
    }

    pub(super) fn handle(&mut self, to: Option<i32>, caller: Caller, request: Request) {
        let here = to.is_none_or(|node| node == self.node);
        let fails = |code| Response::JoinGroup {
            code,
            generation: -1,
            protocol: "".into(),
            leader: "".into(),
            member_id: "".into(),
            skip_assignment: false,
            members: Vec::new(),
        };
        let response = match request {
            Request::FindCoordinator { .. } => Response::FindCoordinator {
                code: 0,
                node: self.node,
            },
            Request::JoinGroup { .. } if !here => fails(NOT_COORDINATOR),
            Request::JoinGroup {
                member_id,
                instance_id,
                session_timeout,
                rebalance_timeout,
                protocols,
            } => {
                let entry = Entry {
                    instance: instance_id,
                    protocol: protocols[0].0,
                    metadata: protocols[0].1.clone(),
                    session: session_timeout,
                    rebalance: rebalance_timeout,
                    expires: self.now + session_timeout,
                    join: Some(caller),
                    sync: None,
                    assignment: Bytes::new(),
                };
                match self.join(member_id, entry, caller) {
                    Ok(()) => return,
                    Err((code, id)) => {
                        let mut response = fails(code);
                        if let Response::JoinGroup { member_id, .. } = &mut response {
                            *member_id = id;
                        }
                        response
                    }
                }
            }
            Request::SyncGroup {
                generation,
                member_id,
                assignments,
                ..
            } => {
                let code = self.check(here, generation, &member_id);
                match self.group.state {
                    _ if code != 0 => Response::SyncGroup {
                        code,
                        assignment: Bytes::new(),
                    },
                    State::Completing => {
                        self.sync(&member_id, caller, assignments);
                        return;
                    }
                    State::Stable => {
                        let assignment = self.group.members[&member_id].assignment.clone();
                        Response::SyncGroup { code, assignment }
                    }
                    _ => Response::SyncGroup {
                        code: REBALANCE_IN_PROGRESS,
                        assignment: Bytes::new(),
                    },
                }
            }
            Request::Heartbeat {
                generation,
                member_id,
                ..
            } => {
                let code = self.check(here, generation, &member_id);
                let preparing = matches!(self.group.state, State::Preparing { .. });
                let code = if code == 0 && preparing {
                    REBALANCE_IN_PROGRESS
                } else {
                    code
                };
                Response::Heartbeat { code }
            }
            Request::LeaveGroup { member_id } => {
                if here {
                    self.pending.remove(&member_id);
                    self.remove(&member_id);
                }
                Response::LeaveGroup { code: 0 }
            }
            Request::OffsetCommit {
                generation,
                member_id,
                offsets,
                ..
            } => {
                let mut code = self.check(here, generation, &member_id);
                if code == 0 && self.group.state == State::Completing {
                    code = REBALANCE_IN_PROGRESS;
                }
                let codes = offsets.keys().map(|p| (p.clone(), code)).collect();
                if code == 0 {
                    self.accepted.insert(caller);
                    let offsets = offsets.into_iter().map(|(p, o)| (p, o.offset));
                    self.committed.extend(offsets);
                }
                Response::OffsetCommit { codes }
            }
            Request::OffsetFetch { partitions } => {
                let find = |p: TopicPartition| {
                    let offset = self.committed.get(&p).map(|&offset| Offset {
                        offset,
                        leader_epoch: None,
                        metadata: "".into(),
                    });
                    (p, 0, offset)
                };
                let code = if here { 0 } else { NOT_COORDINATOR };
                let offsets = partitions.into_iter().filter(|_| here).map(find).collect();
                Response::OffsetFetch { code, offsets }
            }
            other => panic!("the model does not know {other:?}"),
        };
        self.reply(caller, response);
    }

    fn check(&mut self, here: bool, generation: i32, id: &str) -> i16 {
        let now = self.now;
        match self.group.members.get_mut(id) {
            _ if !here => NOT_COORDINATOR,
            None => UNKNOWN_MEMBER_ID,
            Some(_) if generation != self.group.generation => ILLEGAL_GENERATION,
            Some(member) => {
                member.expires = now + member.session;
                0
            }
        }
    }

    fn join(&mut self, id: Arc<str>, entry: Entry, caller: Caller) -> Result<(), (i16, Arc<str>)> {
        let known = |(old, member): (&Arc<str>, &Entry)| {
            (member.instance.is_some() && member.instance == entry.instance).then(|| old.clone())
        };
        if id.is_empty() {
            self.ids += 1;
            let new: Arc<str> = format!("id{}", self.ids).into();
            if let Some(old) = self.group.members.iter().find_map(known) {
                self.replace(&old, new, entry, caller);
            } else if entry.instance.is_some() {
                self.add(new, entry);
            } else {
                self.pending.insert(new.clone());
                return Err((MEMBER_ID_REQUIRED, new));
            }
        } else if self.pending.remove(&id) {
            self.add(id, entry);
        } else if let Some(member) = self.group.members.get_mut(&id) {
            let same = member.metadata == entry.metadata;
            let leads = self.group.leader.as_ref() == Some(&id);
            match self.group.state {
                State::Completing if same => self.answer_join(&id, caller),
                State::Stable if same && !leads => self.answer_join(&id, caller),
                _ => self.add(id, entry),
            }
        } else {
            return Err((UNKNOWN_MEMBER_ID, id));
        }
        Ok(())
    }

    /// A static member came back under a new id; a stable group does not notice.
    fn replace(&mut self, old: &str, new: Arc<str>, entry: Entry, caller: Caller) {
        let Some(before) = self.group.members.remove(old) else {
            return;
        };
        let unnoticed = self.group.state == State::Stable;
        let assignment = before.assignment.clone();
        if unnoticed {
            let back = Entry {
                join: None,
                assignment,
                ..entry
            };
            self.group.members.insert(new.clone(), back);
            self.written.members.remove(old);
            self.written
                .members
                .insert(new.clone(), self.group.members[&new].clone());
            self.skips = self.group.leader.as_deref() == Some(old);
            if self.skips {
                self.group.leader = Some(new.clone());
                self.written.leader = Some(new.clone());
            }
            self.answer_join(&new, caller);
            self.skips = false;
        } else {
            self.add(new, entry);
        }
    }

    fn add(&mut self, id: Arc<str>, entry: Entry) {
        if let Some(before) = self.group.members.insert(id, entry) {
            self.dropped
                .extend(before.join.into_iter().chain(before.sync));
        }
        self.prepare();
    }

    fn remove(&mut self, id: &str) {
        if let Some(gone) = self.group.members.remove(id) {
            self.dropped.extend(gone.join.into_iter().chain(gone.sync));
            if self.group.members.is_empty() {
                self.group.state = State::Empty;
                self.group.generation += 1;
                self.group.leader = None;
                self.written = self.group.clone();
            } else {
                self.prepare();
            }
        }
    }

    fn prepare(&mut self) {
        if !matches!(self.group.state, State::Preparing { .. }) {
            let syncing: Vec<_> = self
                .group
                .members
                .values_mut()
                .filter_map(|m| m.sync.take())
                .collect();
            for caller in syncing {
                let code = REBALANCE_IN_PROGRESS;
                self.reply(
                    caller,
                    Response::SyncGroup {
                        code,
                        assignment: Bytes::new(),
                    },
                );
            }
            let longest = self.group.members.values().map(|m| m.rebalance).max();
            let until = self.now + longest.unwrap_or_default();
            self.group.state = State::Preparing { until };
        }
        if self.group.members.values().all(|m| m.join.is_some()) {
            self.complete_join();
        }
    }

    /// Static members stay though they did not come; they have no say.
    fn complete_join(&mut self) {
        self.group
            .members
            .retain(|_, m| m.join.is_some() || m.instance.is_some());
        self.group.generation += 1;
        self.epochs += 1;
        self.group.epoch = self.epochs;
        let joined = |(id, m): (&Arc<str>, &Entry)| m.join.map(|caller| (id.clone(), caller));
        let callers: Vec<_> = self.group.members.iter().filter_map(joined).collect();
        let Some((first, _)) = callers.first() else {
            self.group.state = State::Empty;
            self.group.leader = None;
            self.written = self.group.clone();
            return;
        };
        let leader = self.group.leader.take();
        let stays = leader.filter(|leader| callers.iter().any(|(id, _)| id == leader));
        self.group.leader = Some(stays.unwrap_or_else(|| first.clone()));
        self.group.state = State::Completing;
        for (id, caller) in callers {
            self.answer_join(&id, caller);
        }
    }

    fn answer_join(&mut self, id: &Arc<str>, caller: Caller) {
        let expires = self.now + self.group.members[id].session;
        let mut protocol = "";
        if let Some(member) = self.group.members.get_mut(id) {
            member.join = None;
            member.expires = expires;
            protocol = member.protocol;
        }
        let leader = self.group.leader.clone().unwrap_or_default();
        let describe = |(id, m): (&Arc<str>, &Entry)| JoinedMember {
            member_id: id.clone(),
            instance_id: m.instance.clone(),
            metadata: m.metadata.clone(),
        };
        let members = if leader == *id {
            self.group.members.iter().map(describe).collect()
        } else {
            Vec::new()
        };
        let response = Response::JoinGroup {
            code: 0,
            generation: self.group.generation,
            protocol: protocol.into(),
            leader,
            member_id: id.clone(),
            skip_assignment: self.skips,
            members,
        };
        self.reply(caller, response);
    }

    fn sync(&mut self, id: &Arc<str>, caller: Caller, assignments: Vec<(Arc<str>, Bytes)>) {
        if let Some(member) = self.group.members.get_mut(id) {
            self.dropped.extend(member.sync.replace(caller));
        }
        if self.group.leader.as_ref() != Some(id) {
            return;
        }
        let mut assignments: BTreeMap<_, _> = assignments.into_iter().collect();
        let mut replies = Vec::new();
        for (id, member) in &mut self.group.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            member.expires = self.now + member.session;
            replies.extend(
                member
                    .sync
                    .take()
                    .map(|caller| (caller, member.assignment.clone())),
            );
        }
        self.group.state = State::Stable;
        self.written = self.group.clone();
        for (caller, assignment) in replies {
            self.reply(
                caller,
                Response::SyncGroup {
                    code: 0,
                    assignment,
                },
            );
        }
    }

    fn reply(&mut self, to: Caller, response: Response) {
        let epoch = self.group.epoch;
        self.replies.push(Reply {
            to,
            response,
            epoch,
        });
    }
}
