use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cqi_errors::{Error, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::changes::{Changes, Step};
use super::error::{Refusal, closed, ended};
use crate::TopicPartition;
use crate::membership::{Change, CommitError, Membership, Offset, RevocationId};

/// What a group's task and its caller tell each other: the latest of each thing, so that neither
/// waits for the other and nothing piles up.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) group: Arc<str>,
    state: Mutex<State>,
    /// Wakes the task.
    pub(super) task: Notify,
    /// Wakes the caller in its poll.
    pub(super) caller: Notify,
}

#[derive(Debug, Default)]
struct State {
    wishes: Wishes,
    polling: bool,
    /// Nothing wakes the task but a wish.
    asleep: bool,
    changes: Changes,
    standing: Standing,
    /// What the coordinator, or the search for it, failed at last.
    failure: Option<(Instant, String)>,
    end: Option<End>,
}

/// What the caller wants of the task.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// It asks for records, or is waiting for them.
    pub(super) alive: bool,
    pub(super) topics: Option<BTreeSet<Arc<str>>>,
    pub(super) done: Option<RevocationId>,
    pub(super) close: bool,
}

/// Where the member stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) member_id: Option<Arc<str>>,
    pub(super) generation: Option<i32>,
    pub(super) coordinator: Option<i32>,
    pub(super) stable: bool,
    pub(super) owned: BTreeSet<TopicPartition>,
}

/// Why nothing comes any more.
#[derive(Debug, Clone)]
enum End {
    Refused(Refusal),
    Closed,
    TaskGone,
}

/// Says, while it lives, that the caller is in its poll.
#[must_use]
pub(super) struct Polling<'a>(&'a Shared);

/// Tells the caller when the task is gone, in whatever way.
#[must_use]
pub(super) struct Alive(pub(super) Arc<Shared>);

impl Shared {
    pub(super) fn new(group: Arc<str>, topics: BTreeSet<Arc<str>>) -> Self {
        let wishes = Wishes {
            topics: Some(topics),
            ..Wishes::default()
        };
        Self {
            group,
            state: Mutex::new(State {
                wishes,
                ..State::default()
            }),
            task: Notify::new(),
            caller: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A caller that is to give partitions back is not alive by polling: its time runs.
    pub(super) fn begin_poll(&self) -> Polling<'_> {
        let mut state = self.lock();
        state.polling = true;
        state.wishes.alive |= !state.changes.is_finishing();
        if state.asleep {
            self.task.notify_one();
        }
        Polling(self)
    }

    pub(super) fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock().wishes);
        self.task.notify_one();
    }

    pub(super) fn revocation_done(&self, id: RevocationId) {
        let mut state = self.lock();
        // One that ended in a loss must not hide the one that is done now.
        if state.changes.done(id) {
            state.wishes.done = Some(id);
            self.task.notify_one();
        }
    }

    /// Takes what the caller wants.
    pub(super) fn take_wishes(&self) -> Wishes {
        let mut state = self.lock();
        let mut wishes = std::mem::take(&mut state.wishes);
        wishes.alive |= state.polling && !state.changes.is_finishing();
        wishes
    }

    /// Says whether the task sleeps until a wish comes, and wakes it if one came meanwhile.
    pub(super) fn sleep(&self, asleep: bool) {
        let mut state = self.lock();
        state.asleep = asleep;
        if asleep && state.wishes.alive {
            self.task.notify_one();
        }
    }

    /// How often the caller's partitions were lost so far.
    pub(super) fn losses(&self) -> u64 {
        self.lock().changes.losses()
    }

    /// Whether the caller may commit these, as things stood when it asked.
    pub(super) fn may_commit<'p>(
        &self,
        partitions: impl IntoIterator<Item = &'p TopicPartition>,
        losses: u64,
    ) -> Result<(), CommitError> {
        self.lock().changes.check(partitions, losses)
    }

    pub(super) fn change(&self, change: Change) {
        self.lock().changes.add(change);
        self.caller.notify_one();
    }

    pub(super) fn position(&self, positions: Vec<(TopicPartition, Option<Offset>)>) {
        self.lock().changes.position(positions);
        self.caller.notify_one();
    }

    pub(super) fn trouble(&self, error: Error) {
        self.lock().changes.trouble(error);
        self.caller.notify_one();
    }

    pub(super) fn fail(&self, failure: String) {
        self.lock().failure = Some((Instant::now(), failure));
    }

    /// Why there is no coordinator, or it did not do what it was asked for, if that was since then.
    pub(super) fn failure_since(&self, begun: Instant) -> Option<String> {
        let failure = self.lock().failure.clone();
        failure.filter(|(at, _)| *at >= begun).map(|(_, text)| text)
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.lock().end = Some(End::Refused(refusal));
        self.caller.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().end.get_or_insert(End::Closed);
    }

    /// Takes the next thing to tell the caller; an error again and again once all is over.
    pub(super) fn next(&self) -> Result<Option<Step>> {
        let mut state = self.lock();
        if let Some(step) = state.changes.next() {
            return Ok(Some(step));
        }
        state.check(&self.group)?;
        Ok(None)
    }

    /// Fails once all is over.
    pub(super) fn check(&self) -> Result<()> {
        self.lock().check(&self.group)
    }

    pub(super) fn stand(&self, member: &Membership) {
        let mut state = self.lock();
        let standing = &mut state.standing;
        if standing.member_id.as_deref() != member.member_id() {
            standing.member_id = member.member_id().map(Arc::from);
        }
        standing.generation = member.generation();
        standing.coordinator = member.coordinator();
        standing.stable = member.is_stable();
        if standing.owned != *member.owned() {
            standing.owned.clone_from(member.owned());
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }
}

impl State {
    fn check(&self, group: &str) -> Result<()> {
        match &self.end {
            Some(End::Refused(refusal)) => Err(refusal.error(group)),
            Some(End::Closed) => Err(closed(group)),
            Some(End::TaskGone) => Err(ended(group)),
            None => Ok(()),
        }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.polling = false;
        state.wishes.alive |= !state.changes.is_finishing();
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().end.get_or_insert(End::TaskGone);
        self.0.caller.notify_one();
    }
}
