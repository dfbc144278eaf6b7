use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::contact::Heartbeat;
use super::offsets::Offsets;
use super::phase::{Coordinator, Identity, Lead, Phase, Then, Topics};
use super::{Action, Event, Request, RequestId, Response, Settings, WatchId};
use crate::TopicPartition;
use crate::assignor::PartitionCounts;

/// One member of a group; see the [module](super) for how to drive it.
#[derive(Debug, Clone)]
pub struct Membership {
    pub(super) settings: Settings,
    pub(super) random: fastrand::Rng,
    /// What the caller wants.
    pub(super) topics: Topics,
    pub(super) counts: PartitionCounts,
    watch: WatchId,
    pub(super) coordinator: Coordinator,
    pub(super) identity: Identity,
    pub(super) phase: Phase,
    /// What the caller may work on, until it gave it back or lost it.
    pub(super) owned: BTreeSet<TopicPartition>,
    pub(super) heartbeat: Heartbeat,
    pub(super) offsets: Offsets,
    poll_by: Duration,
    /// In a row.
    pub(super) failures: u32,
    last_id: u64,
    pub(super) now: Duration,
    out: Vec<Action>,
}

impl Membership {
    /// Creates a member that is in no group yet; the seed decides the jitter of its pauses.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            random: fastrand::Rng::with_seed(seed),
            topics: Topics::new(),
            counts: PartitionCounts::new(),
            watch: WatchId(0),
            coordinator: Coordinator::Unknown {
                retry_at: Duration::ZERO,
            },
            identity: Identity::Stranger,
            phase: Phase::Out,
            owned: BTreeSet::new(),
            heartbeat: Heartbeat::default(),
            offsets: Offsets::default(),
            poll_by: Duration::ZERO,
            failures: 0,
            last_id: 0,
            now: Duration::ZERO,
            out: Vec::new(),
        }
    }

    /// Takes in what happened by `now`, and says what to do, in this order.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        // Who asks for records in the last moment is alive.
        let polled = matches!(event, Event::Polled);
        if self.is_active() && self.now >= self.poll_by && !polled {
            self.say(Action::Overdue);
            self.leave();
        }
        match event {
            Event::Subscribe(topics) => self.on_subscribe(topics),
            Event::Polled => self.on_polled(),
            Event::RevocationDone(id) => self.on_revocation_done(id),
            Event::Commit { id, offsets } => self.on_commit(id, offsets),
            Event::Topics { watch, counts } if watch == self.watch => self.on_topics(counts),
            Event::Tick | Event::Topics { .. } => {}
            Event::Response(id, response) => self.on_response(id, response),
            Event::Failed(id) => self.on_failed(id),
            Event::Close => self.on_close(),
        }
        self.drive();
        std::mem::take(&mut self.out)
    }

    /// When to send the next [`Event::Tick`], if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if !self.is_active() {
            return None;
        }
        let next = match (self.coordinator, &self.phase) {
            (Coordinator::Unknown { retry_at }, _) => Some(retry_at),
            (Coordinator::Finding(_), _) => None,
            (Coordinator::Known(_), Phase::Waiting { until }) => Some(*until),
            (Coordinator::Known(_), _) => {
                let heartbeat = self.is_heartbeat_free().then_some(self.heartbeat.due);
                let due = heartbeat.into_iter().chain(self.offset_fetch_due());
                due.chain(self.revisit_at()).min()
            }
        };
        Some(next.map_or(self.poll_by, |next| next.min(self.poll_by)))
    }

    /// What the caller may work on at the moment.
    #[must_use]
    pub const fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    /// The id that the coordinator gave.
    #[must_use]
    pub fn member_id(&self) -> Option<&str> {
        self.identity.id().map(AsRef::as_ref)
    }

    /// The generation that the member is in.
    #[must_use]
    pub const fn generation(&self) -> Option<i32> {
        self.identity.generation()
    }

    /// The broker that the group lives at, if known.
    #[must_use]
    pub const fn coordinator(&self) -> Option<i32> {
        match self.coordinator {
            Coordinator::Known(node) => Some(node),
            _ => None,
        }
    }

    /// Whether the member is in a generation and nothing changes at the moment.
    #[must_use]
    pub const fn is_stable(&self) -> bool {
        matches!(self.phase, Phase::Stable(_))
    }

    /// Sends what is due.
    fn drive(&mut self) {
        if let Phase::Stable(joined) = &self.phase {
            let outdated = |lead: &Lead| {
                lead.is_outdated(&self.counts) || lead.revisit_at.is_some_and(|at| at <= self.now)
            };
            if joined.topics != self.topics || joined.lead.as_ref().is_some_and(outdated) {
                self.rejoin();
            }
        }
        if !self.is_active() {
            return;
        }
        match self.coordinator {
            Coordinator::Unknown { retry_at } if retry_at <= self.now => self.find(),
            Coordinator::Known(_) => {
                match self.phase {
                    Phase::Waiting { until } if until <= self.now => self.join(),
                    _ if self.is_heartbeat_free() && self.heartbeat.due <= self.now => self.beat(),
                    _ => {}
                }
                if self.offset_fetch_due().is_some_and(|due| due <= self.now) {
                    self.fetch_offsets();
                }
            }
            _ => {}
        }
    }

    fn on_subscribe(&mut self, topics: Topics) {
        if matches!(self.phase, Phase::Closed | Phase::Leaving { .. }) {
            return;
        }
        if self.topics != topics {
            let watched = &topics | &self.led();
            self.topics = topics;
            self.watch(watched);
        }
        self.on_polled();
        if self.topics.is_empty() {
            match self.phase {
                Phase::Stable(_) if !self.owned.is_empty() => {
                    self.revoke(self.owned.clone(), Then::Leave);
                }
                // The partitions under revocation are not all: the rest follows.
                Phase::Revoking { ref mut then, .. } => *then = Then::Leave,
                _ if self.is_active() => self.leave(),
                _ => {}
            }
        }
    }

    /// What the group wants whose leader this is.
    fn led(&self) -> Topics {
        match &self.phase {
            Phase::Leading(election) => election.wanted(),
            Phase::Syncing { joined, .. } | Phase::Stable(joined) => {
                let lead = joined.lead.as_ref();
                lead.map(|lead| lead.topics.clone()).unwrap_or_default()
            }
            _ => Topics::new(),
        }
    }

    fn revisit_at(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Stable(joined) => joined.lead.as_ref()?.revisit_at,
            _ => None,
        }
    }

    pub(super) fn watch(&mut self, topics: Topics) {
        let id = WatchId(self.next_id());
        self.watch = id;
        self.say(Action::Watch { id, topics });
    }

    pub(super) fn renew_poll(&mut self) {
        self.poll_by = self.now + self.settings.max_poll_interval;
    }

    fn on_polled(&mut self) {
        self.renew_poll();
        if matches!(self.phase, Phase::Out) && !self.topics.is_empty() {
            self.phase = Phase::Waiting { until: self.now };
        }
    }

    fn on_close(&mut self) {
        match self.phase {
            Phase::Closed | Phase::Leaving { .. } => return,
            _ => {}
        }
        self.topics.clear();
        self.disown();
        self.phase = match self.send_leave() {
            Some(request) => Phase::Leaving { request },
            None => {
                self.say(Action::Closed);
                Phase::Closed
            }
        };
    }

    fn on_response(&mut self, id: RequestId, response: Response) {
        match response {
            Response::FindCoordinator { code, node } => self.on_found(id, code, node),
            Response::Heartbeat { code } => self.on_heartbeat(id, code),
            Response::LeaveGroup { .. } => self.on_left(id),
            Response::OffsetCommit { codes } => self.on_committed(id, &codes),
            Response::OffsetFetch { code, offsets } => self.on_offsets(id, code, offsets),
            Response::SyncGroup { code, assignment } => self.on_synced(id, code, &assignment),
            joined @ Response::JoinGroup { .. } => self.on_joined(id, joined),
        }
    }

    /// A request without an answer casts doubt on the coordinator; nothing is given up for it.
    pub(super) fn on_failed(&mut self, id: RequestId) {
        if self.coordinator == Coordinator::Finding(id) {
            let retry_at = self.now + self.pause();
            self.coordinator = Coordinator::Unknown { retry_at };
        } else if self.heartbeat.in_flight == Some(id) {
            self.heartbeat.in_flight = None;
            self.heartbeat.due = self.now;
            self.find_again();
        } else if self.is_joining_by(id) {
            self.find_again();
            self.wait(Duration::ZERO);
        } else if self.fail_offsets(id) {
            self.find_again();
        }
        self.on_left(id);
    }

    fn on_left(&mut self, id: RequestId) {
        if matches!(self.phase, Phase::Leaving { request } if request == id) {
            self.phase = Phase::Closed;
            self.say(Action::Closed);
        }
    }

    /// Gives the place up without waiting; the caller's next poll asks for another.
    pub(super) fn leave(&mut self) {
        self.lose();
        self.send_leave();
        self.reset_heartbeat();
        self.phase = Phase::Out;
    }

    /// Static members keep their place until the session ends, as in the Java client.
    pub(super) fn send_leave(&mut self) -> Option<RequestId> {
        let identity = std::mem::replace(&mut self.identity, Identity::Stranger);
        let member_id = Arc::clone(identity.id()?);
        if self.settings.is_static() || self.coordinator().is_none() {
            return None;
        }
        let timeout = self.settings.request_timeout;
        Some(self.ask(Request::LeaveGroup { member_id }, timeout))
    }

    pub(super) fn fail(&mut self, api: &'static str, code: i16) {
        self.lose();
        self.topics.clear();
        self.identity = Identity::Stranger;
        self.phase = Phase::Closed;
        self.say(Action::Failed { api, code });
    }

    pub(super) fn ask(&mut self, request: Request, timeout: Duration) -> RequestId {
        self.send(self.coordinator(), request, timeout)
    }

    pub(super) fn send(
        &mut self,
        to: Option<i32>,
        request: Request,
        timeout: Duration,
    ) -> RequestId {
        let id = RequestId(self.next_id());
        self.say(Action::Send {
            id,
            to,
            request,
            timeout,
        });
        id
    }

    pub(super) fn say(&mut self, action: Action) {
        self.out.push(action);
    }

    pub(super) const fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    const fn is_active(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Out | Phase::Leaving { .. } | Phase::Closed
        )
    }

    const fn is_heartbeat_free(&self) -> bool {
        self.heartbeat.in_flight.is_none()
            && matches!(
                self.phase,
                Phase::Leading(_)
                    | Phase::Syncing { .. }
                    | Phase::Stable(_)
                    | Phase::Revoking { .. }
            )
    }
}
