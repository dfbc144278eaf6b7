//! Several members, their coordinator and a network that delays, loses, reorders and repeats.

mod promises;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cqi_kafka::TopicPartition;
use cqi_kafka::assignor::{Assignor, PartitionCounts};
use cqi_kafka::membership::{
    Action, Change, Event, Membership, Offset, Request, RequestId, Response, RevocationId,
    Settings, WatchId,
};

use super::coordinator::{Caller, Coordinator};

/// Something that can happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A request reaches the coordinator, a reply its member; by place in the queue.
    Request(usize),
    Reply(usize),
    LoseRequest(usize),
    LoseReply(usize),
    /// The reply arrives, and stays under way to arrive again.
    RepeatReply(usize),
    Tick(usize),
    Advance(Duration),
    Poll(usize),
    Consume(usize),
    Commit(usize),
    FinishRevocation(usize),
    Metadata(usize),
    Start(usize),
    Crash(usize),
    Close(usize),
    Resubscribe(usize),
    MoveCoordinator,
    AddPartition,
}

#[derive(Clone, Debug)]
enum Back {
    Reply(Response, u64),
    /// A second copy, which takes its time.
    Late(Response, u64),
    Failure,
}

#[derive(Clone, Debug)]
struct Process {
    /// None while it does not run.
    member: Option<Membership>,
    life: u32,
    epoch: u64,
    watched: BTreeSet<Arc<str>>,
    watch: Option<WatchId>,
    /// What it knows of the watched topics, once it was told.
    told: Option<PartitionCounts>,
    positions: BTreeMap<TopicPartition, i64>,
    revoking: Option<(RevocationId, BTreeSet<TopicPartition>)>,
    /// The last request to join.
    joining: Option<RequestId>,
    commit: Option<u64>,
    commit_request: Option<RequestId>,
    /// Which topics it wants, a bit each.
    wish: u8,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    plan: Plan,
    processes: Vec<Process>,
    pub(super) coordinator: Coordinator,
    requests: Vec<(Caller, Option<i32>, Request)>,
    replies: Vec<(Caller, Back)>,
    counts: PartitionCounts,
    /// Records before this offset were delivered to somebody.
    delivered: BTreeMap<TopicPartition, i64>,
    commits: u64,
    /// Requests, commits apart.
    pub(super) sent: u64,
    /// The first promise that was broken.
    pub(super) broken: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) processes: usize,
    pub(super) assignor: Assignor,
    pub(super) fixed: bool,
    /// What each process wants at first, and in the calm: of the topics, a bit each.
    pub(super) wishes: [u8; 3],
}

/// How many topics there are.
const TOPICS: usize = 2;
pub(super) const ALL: u8 = (1 << TOPICS) - 1;

fn topic(n: usize) -> Arc<str> {
    format!("t{n}").into()
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let idle = Process {
            member: None,
            life: 0,
            epoch: 0,
            watched: BTreeSet::new(),
            watch: None,
            told: None,
            positions: BTreeMap::new(),
            revoking: None,
            joining: None,
            commit: None,
            commit_request: None,
            wish: 0,
        };
        let processes = plan.wishes.iter().map(|&wish| Process {
            wish,
            ..idle.clone()
        });
        Self {
            processes: processes.take(plan.processes).collect(),
            plan,
            coordinator: Coordinator::new(),
            requests: Vec::new(),
            replies: Vec::new(),
            counts: [(topic(0), 2), (topic(1), 1)].into(),
            delivered: BTreeMap::new(),
            commits: 0,
            sent: 0,
            broken: None,
        }
    }

    /// What may happen next; what keeps the world going comes more often than what breaks it.
    pub(super) fn options(&self) -> Vec<(u32, Step)> {
        let mut options = vec![
            (3, Step::Advance(Duration::from_millis(300))),
            (2, Step::Advance(Duration::from_secs(3))),
            (1, Step::Advance(Duration::from_secs(11))),
            (1, Step::MoveCoordinator),
        ];
        // What changes while a static member restarts escapes the group, with Java members too.
        if self.counts.values().sum::<i32>() < 6 && !self.plan.fixed {
            options.push((1, Step::AddPartition));
        }
        for n in 0..self.requests.len() {
            options.extend([(12, Step::Request(n)), (1, Step::LoseRequest(n))]);
        }
        for n in 0..self.replies.len() {
            let late = matches!(self.replies[n].1, Back::Late(..));
            options.push((if late { 1 } else { 12 }, Step::Reply(n)));
            if matches!(self.replies[n].1, Back::Reply(..)) {
                options.extend([(1, Step::LoseReply(n)), (1, Step::RepeatReply(n))]);
            }
        }
        for (n, process) in self.processes.iter().enumerate() {
            let Some(member) = &process.member else {
                options.push((6, Step::Start(n)));
                continue;
            };
            options.extend([
                (1, Step::Crash(n)),
                (1, Step::Close(n)),
                (u32::from(!self.plan.fixed), Step::Resubscribe(n)),
                (3, Step::Poll(n)),
            ]);
            if member
                .deadline()
                .is_some_and(|at| at <= self.coordinator.now)
            {
                options.push((12, Step::Tick(n)));
            }
            if !process.positions.is_empty() {
                options.push((6, Step::Consume(n)));
                if process.commit.is_none() {
                    options.push((4, Step::Commit(n)));
                }
            }
            if process.revoking.is_some() {
                options.push((6, Step::FinishRevocation(n)));
            }
            if Some(self.known_to(process)) != process.told {
                options.push((6, Step::Metadata(n)));
            }
        }
        options
    }

    /// Steps that cannot happen any more, as in a shortened schedule, are passed over.
    pub(super) fn apply(&mut self, step: &Step) {
        match *step {
            Step::Request(n) | Step::LoseRequest(n) if n >= self.requests.len() => return,
            Step::Reply(n) | Step::LoseReply(n) | Step::RepeatReply(n)
                if n >= self.replies.len() =>
            {
                return;
            }
            Step::Start(n) if self.processes[n].member.is_some() => return,
            Step::Request(n) => {
                let (caller, to, request) = self.requests.remove(n);
                self.coordinator.handle(to, caller, request);
            }
            Step::LoseRequest(n) => {
                let (caller, ..) = self.requests.remove(n);
                self.replies.push((caller, Back::Failure));
            }
            Step::Reply(n) => {
                let (caller, back) = self.replies.remove(n);
                self.deliver(caller, back);
            }
            Step::LoseReply(n) => self.replies[n].1 = Back::Failure,
            Step::RepeatReply(n) => {
                let (caller, back) = self.replies[n].clone();
                if let Back::Reply(response, epoch) = back.clone() {
                    self.replies[n].1 = Back::Late(response, epoch);
                }
                self.deliver(caller, back);
            }
            Step::Tick(n) => self.event(n, Event::Tick),
            Step::Advance(by) => self.coordinator.advance(self.coordinator.now + by),
            Step::Poll(n) => self.event(n, Event::Polled),
            Step::Consume(n) => self.consume(n),
            Step::Commit(n) => self.commit(n),
            Step::FinishRevocation(n) => {
                if let Some((id, partitions)) = self.processes[n].revoking.take() {
                    self.processes[n]
                        .positions
                        .retain(|p, _| !partitions.contains(p));
                    self.event(n, Event::RevocationDone(id));
                }
            }
            Step::Metadata(n) => {
                let counts = self.known_to(&self.processes[n]);
                self.processes[n].told = Some(counts.clone());
                if let Some(watch) = self.processes[n].watch {
                    self.event(n, Event::Topics { watch, counts });
                }
            }
            Step::Start(n) => self.start(n),
            Step::Crash(n) => self.crash(n),
            Step::Close(n) => {
                self.processes[n].positions.clear();
                self.event(n, Event::Close);
            }
            Step::Resubscribe(n) => {
                let process = &mut self.processes[n];
                process.wish = (process.wish + 1) & ALL;
                self.subscribe(n);
            }
            Step::MoveCoordinator => self.coordinator.move_on(),
            Step::AddPartition => {
                if let Some(count) = self.counts.get_mut(&topic(0)) {
                    *count += 1;
                }
            }
        }
        for reply in std::mem::take(&mut self.coordinator.replies) {
            self.replies
                .push((reply.to, Back::Reply(reply.response, reply.epoch)));
        }
        for caller in std::mem::take(&mut self.coordinator.dropped) {
            self.replies.push((caller, Back::Failure));
        }
        if let Err(text) = self.check() {
            self.broken.get_or_insert(text);
        }
    }

    /// Nothing fails any more and everybody does its work.
    pub(super) fn calm(&mut self, rounds: usize) {
        for n in 0..self.processes.len() {
            if self.processes[n].member.is_none() {
                self.apply(&Step::Start(n));
            }
            self.processes[n].wish = self.plan.wishes[n];
            self.subscribe(n);
        }
        for _ in 0..rounds {
            let until = self.sent + 1_000;
            while !self.requests.is_empty() || !self.replies.is_empty() {
                if self.sent > until {
                    self.broken
                        .get_or_insert("a busy loop without a pause".into());
                    return;
                }
                let step = if self.requests.is_empty() {
                    Step::Reply(0)
                } else {
                    Step::Request(0)
                };
                self.apply(&step);
            }
            for n in 0..self.processes.len() {
                let (commit, revoke) = (Step::Commit(n), Step::FinishRevocation(n));
                for step in [
                    Step::Poll(n),
                    Step::Metadata(n),
                    Step::Consume(n),
                    commit,
                    revoke,
                    Step::Tick(n),
                ] {
                    self.apply(&step);
                }
            }
            self.apply(&Step::Advance(Duration::from_millis(200)));
        }
    }

    fn known_to(&self, process: &Process) -> PartitionCounts {
        let counts = self
            .counts
            .iter()
            .filter(|(topic, _)| process.watched.contains(*topic));
        counts
            .map(|(topic, &count)| (topic.clone(), count))
            .collect()
    }

    fn start(&mut self, n: usize) {
        let mut settings = Settings::new("group");
        settings.assignors = vec![self.plan.assignor];
        settings.session_timeout = Duration::from_secs(10);
        settings.max_poll_interval = Duration::from_secs(30);
        settings.instance_id = self.plan.fixed.then(|| format!("instance{n}").into());
        let process = &mut self.processes[n];
        process.member = Some(Membership::new(settings, u64::from(process.life)));
        process.wish = process.wish.max(1);
        self.subscribe(n);
    }

    fn subscribe(&mut self, n: usize) {
        let process = &self.processes[n];
        let topics = (0..TOPICS).map(topic).filter(|topic| process.wants(topic));
        let topics = topics.collect();
        self.event(n, Event::Subscribe(topics));
    }

    fn crash(&mut self, n: usize) {
        let process = &mut self.processes[n];
        process.member = None;
        process.life += 1;
        process.watched.clear();
        process.watch = None;
        process.told = None;
        process.positions.clear();
        process.revoking = None;
        process.commit = None;
        process.commit_request = None;
    }

    fn consume(&mut self, n: usize) {
        for (partition, position) in &mut self.processes[n].positions {
            let delivered = self.delivered.entry(partition.clone()).or_default();
            if *position > *delivered {
                let skipped =
                    format!("records {delivered} to {position} of {partition} are skipped");
                self.broken.get_or_insert(skipped);
            }
            *position += 1;
            *delivered = (*delivered).max(*position);
        }
    }

    fn commit(&mut self, n: usize) {
        let process = &mut self.processes[n];
        if process.positions.is_empty() || process.commit.is_some() {
            return;
        }
        self.commits += 1;
        process.commit = Some(self.commits);
        let offset = |(p, &offset): (&TopicPartition, &i64)| {
            (
                p.clone(),
                Offset {
                    offset,
                    leader_epoch: None,
                    metadata: "".into(),
                },
            )
        };
        let offsets = process.positions.iter().map(offset).collect();
        self.event(
            n,
            Event::Commit {
                id: self.commits,
                offsets,
            },
        );
    }

    fn deliver(&mut self, (n, life, id): Caller, back: Back) {
        if self.processes[n].life != life {
            return;
        }
        match back {
            Back::Failure => self.event(n, Event::Failed(id)),
            Back::Reply(response, epoch) | Back::Late(response, epoch) => {
                let joined = matches!(response, Response::JoinGroup { code: 0, .. });
                let joining = self.processes[n].joining == Some(id);
                if joined && joining {
                    self.processes[n].epoch = epoch;
                    self.processes[n].joining = None;
                }
                self.event(n, Event::Response(id, response));
            }
        }
    }

    fn event(&mut self, n: usize, event: Event) {
        let now = self.coordinator.now;
        let Some(member) = &mut self.processes[n].member else {
            return;
        };
        let actions = member.handle(now, event);
        for action in actions {
            self.act(n, action);
        }
    }

    fn act(&mut self, n: usize, action: Action) {
        let process = &mut self.processes[n];
        match action {
            Action::Send {
                id, to, request, ..
            } => {
                self.sent += u64::from(!matches!(request, Request::OffsetCommit { .. }));
                if let Request::JoinGroup { .. } = &request {
                    process.joining = Some(id);
                }
                if let Request::OffsetCommit { offsets, .. } = &request {
                    process.commit_request = Some(id);
                    if offsets.keys().any(|p| !process.owned().contains(p)) {
                        self.broken
                            .get_or_insert("a commit of what is not owned".into());
                    }
                }
                self.requests.push(((n, process.life, id), to, request));
            }
            Action::Notify(Change::Revoked { id, partitions }) => {
                process.revoking = Some((id, partitions));
            }
            Action::Notify(Change::Lost(partitions)) => {
                process.positions.retain(|p, _| !partitions.contains(p));
            }
            Action::Positions(positions) => {
                for (partition, offset) in positions {
                    assert!(
                        process.owned().contains(&partition),
                        "a position of {partition}, not owned"
                    );
                    let offset = offset.map_or(0, |offset| offset.offset);
                    process.positions.insert(partition, offset);
                }
            }
            Action::Committed { id, outcome } => {
                let asked = process.commit.take();
                let request = process.commit_request.take();
                let caller = request.map(|id| (n, process.life, id));
                let taken = caller.is_some_and(|c| self.coordinator.accepted.contains(&c));
                if asked != Some(id) || outcome.is_ok() && !taken {
                    let text = format!("commit {id} of {asked:?} ends in {outcome:?}");
                    self.broken.get_or_insert(text);
                }
            }
            Action::Watch { id, topics } => {
                process.watched = topics;
                process.watch = Some(id);
                process.told = None;
            }
            Action::Notify(Change::Assigned(_)) | Action::Warn { .. } | Action::Overdue => {}
            Action::Closed => self.crash(n),
            other => {
                self.broken.get_or_insert(format!("unexpected {other:?}"));
            }
        }
    }
}

impl Process {
    fn owned(&self) -> &BTreeSet<TopicPartition> {
        static NONE: BTreeSet<TopicPartition> = BTreeSet::new();
        self.member.as_ref().map_or(&NONE, Membership::owned)
    }

    fn wants(&self, wanted: &str) -> bool {
        (0..TOPICS).any(|n| self.wish & (1 << n) != 0 && *topic(n) == *wanted)
    }

    fn id(&self) -> Option<&str> {
        self.member.as_ref().and_then(Membership::member_id)
    }

    fn generation(&self) -> Option<i32> {
        self.member.as_ref().and_then(Membership::generation)
    }
}
