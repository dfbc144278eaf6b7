use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Kind};

use super::{Lane, Now};
use crate::TopicPartition;
use crate::client::{Isolation, Leader, Pauses};
use crate::code;
use crate::consumer::fetch::budget::Lease;
use crate::consumer::fetch::chunk::Chunk;
use crate::consumer::fetch::{FetchSettings, Position, StartPosition};
use crate::wire::FetchPartition;

/// The most answers of a partition that wait for the caller: one that is read and one to go on with.
pub(super) const DEPTH: usize = 2;

const UNKNOWN_SERVER_ERROR: i16 = -1;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const CORRUPT_MESSAGE: i16 = 2;

/// One partition: how far it is delivered, and what comes next.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) progress: Progress,
    /// The next offset to deliver.
    pub(super) position: i64,
    /// The epoch of what was delivered last.
    pub(super) epoch: Option<i32>,
    /// The next offset to ask for, with the epoch of what comes before it.
    pub(super) fetch_at: i64,
    pub(super) fetch_epoch: Option<i32>,
    /// What was fetched and not delivered, without gaps.
    pub(super) chunks: VecDeque<Chunk>,
    /// The id under which a chunk is being read; another id's is void.
    pub(super) taken: Option<u64>,
    /// The id of the request that is under way; another id's answer is void.
    pub(super) asked: Option<u64>,
    /// Who made the last request for its records.
    pub(super) asked_by: Lane,
    /// Told after the chunks.
    pub(super) error: Option<Error>,
    pub(super) leader: Option<Leader>,
    pub(super) paused: bool,
    /// Whether it is in the queue of those that have something to deliver.
    pub(super) queued: bool,
    /// Whether the chunks are to be delivered before more is asked for.
    drain: bool,
    /// Whether the log did not have the last position, and no answer came since that had one.
    astray: bool,
    hold_until: Now,
    pauses: Pauses,
    /// When it last had its turn: it brought something, or nothing as all that were asked with it.
    pub(super) served: u64,
    pub(super) high_watermark: Option<i64>,
    pub(super) last_stable_offset: Option<i64>,
    pub(super) log_start_offset: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The committed offset is being looked up elsewhere.
    Waiting,
    /// The log is asked for an offset.
    Reset(StartPosition),
    /// There is a position.
    Fetching,
    /// The caller was told what is wrong, and seeks.
    Stuck,
}

/// When a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Now),
    /// Not before something changes.
    Not,
}

/// What an answer meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The partition is at its end.
    Nothing,
    /// There is something to deliver.
    Brought,
    /// The partition has moved, or its broker is not ready.
    Moved,
    /// An offset is to be looked up.
    Reset,
}

impl Slot {
    pub(super) const fn new(pauses: Pauses) -> Self {
        Self {
            progress: Progress::Waiting,
            position: -1,
            epoch: None,
            fetch_at: -1,
            fetch_epoch: None,
            chunks: VecDeque::new(),
            taken: None,
            asked: None,
            asked_by: Lane::Main,
            error: None,
            leader: None,
            paused: false,
            queued: false,
            drain: false,
            astray: false,
            hold_until: Duration::ZERO,
            pauses,
            served: 0,
            high_watermark: None,
            last_stable_offset: None,
            log_start_offset: None,
        }
    }

    /// Begins anew: nothing that was asked for or fetched before counts any more.
    fn begin(&mut self, progress: Progress) {
        self.progress = progress;
        self.chunks.clear();
        self.taken = None;
        self.asked = None;
        self.error = None;
        self.drain = false;
        self.hold_until = Duration::ZERO;
        self.pauses.reset();
    }

    pub(super) fn begin_at(&mut self, offset: i64, epoch: Option<i32>) {
        self.begin(Progress::Fetching);
        (self.position, self.epoch) = (offset, epoch);
        (self.fetch_at, self.fetch_epoch) = (offset, epoch);
    }

    /// Begins where the log says, or tells the caller that there is no position.
    pub(super) fn begin_by(&mut self, start: StartPosition, why: impl FnOnce() -> Error) {
        if start == StartPosition::Fail {
            self.begin(Progress::Stuck);
            self.error = Some(why());
        } else {
            self.begin(Progress::Reset(start));
        }
    }

    pub(super) fn follow(&mut self, leader: Option<Leader>) {
        if self.leader == leader {
            return;
        }
        if self.leader.map(|leader| leader.node) != leader.map(|leader| leader.node)
            && self.progress == Progress::Fetching
        {
            self.asked = None;
        }
        self.leader = leader;
        self.hold_until = Duration::ZERO;
    }

    /// How many answers wait for the caller, the one that is being read included.
    pub(super) fn depth(&self) -> usize {
        self.chunks.len() + usize::from(self.taken.is_some())
    }

    /// When this lane may ask for it.
    pub(super) fn due(&self, now: Now, lane: Lane, isolation: Isolation) -> Due {
        let depth = self.depth();
        let broken = self.chunks.back().is_some_and(|chunk| chunk.is_broken);
        if self.progress != Progress::Fetching
            || self.paused
            || self.is_taken(lane, isolation)
            || self.error.is_some()
            || broken
            || depth >= if self.drain { 1 } else { DEPTH }
        {
            return Due::Not;
        }
        self.unless_held(now)
    }

    /// Whether a request has it that this lane leaves it to.
    fn is_taken(&self, lane: Lane, isolation: Isolation) -> bool {
        // What the side lane but waits for, the main one takes along: it has one wait for all.
        let end = self.position(isolation).end();
        let waits = self.asked_by == Lane::Side && end.is_some_and(|end| end <= self.fetch_at);
        self.asked.is_some() && !(lane == Lane::Main && waits)
    }

    /// When its offset is to be looked up.
    pub(super) fn reset_due(&self, now: Now) -> Option<(StartPosition, Due)> {
        match self.progress {
            Progress::Reset(start) if self.asked.is_none() && self.error.is_none() => {
                Some((start, self.unless_held(now)))
            }
            _ => None,
        }
    }

    fn unless_held(&self, now: Now) -> Due {
        match self.hold_until > now {
            true => Due::At(self.hold_until),
            false => Due::Now,
        }
    }

    pub(super) fn hold(&mut self, now: Now) {
        self.hold_until = now + self.pauses.next();
    }

    /// Tells the caller what is wrong, and tries again after a pause.
    pub(super) fn tell(&mut self, error: Error, now: Now) {
        self.hold(now);
        self.error = Some(error);
    }

    pub(super) fn is_deliverable(&self) -> bool {
        !self.paused && self.taken.is_none() && (!self.chunks.is_empty() || self.error.is_some())
    }

    /// Forgets what waits for the caller; it is fetched again.
    pub(super) fn give_up_buffered(&mut self) {
        self.chunks.clear();
        self.asked = None;
        (self.fetch_at, self.fetch_epoch) = (self.position, self.epoch);
    }

    /// Goes on after a chunk that was read to its end.
    pub(super) fn go_on(&mut self) {
        let next = self
            .chunks
            .front()
            .map_or(self.fetch_at, |chunk| chunk.start);
        if next != self.position {
            self.give_up_buffered();
        }
    }

    /// Stays where it is, as the caller is told, until it seeks.
    pub(super) fn stop(&mut self, error: Error) {
        self.give_up_buffered();
        self.progress = Progress::Stuck;
        self.error = Some(error);
    }

    pub(super) fn position(&self, isolation: Isolation) -> Position {
        let is_known = matches!(self.progress, Progress::Fetching | Progress::Stuck);
        Position {
            offset: (is_known && self.position >= 0).then_some(self.position),
            leader_epoch: self.epoch,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset,
            log_start_offset: self.log_start_offset,
            paused: self.paused,
            isolation,
        }
    }

    /// Whether its leader said that there is more than was fetched.
    pub(super) fn is_behind(&self, isolation: Isolation) -> bool {
        let end = self.position(isolation).end();
        end.is_some_and(|end| end > self.fetch_at)
    }

    /// Takes its part of an answer.
    pub(super) fn answered(
        &mut self,
        name: &TopicPartition,
        part: FetchPartition,
        settings: &FetchSettings,
        lease: &Arc<Lease>,
        now: Now,
    ) -> Outcome {
        self.asked = None;
        match part.error_code {
            0 => {}
            OFFSET_OUT_OF_RANGE => return self.out_of_range(name, settings, now),
            UNKNOWN_SERVER_ERROR => {
                tracing::warn!(partition = %name, "the leader fails to fetch; its log says why");
                self.hold(now);
                return Outcome::Moved;
            }
            // May pass, if it is not the disk.
            code if code != CORRUPT_MESSAGE
                && (code::stale_metadata(code) || code::is_retriable(code)) =>
            {
                tracing::debug!(partition = %name, code = %code::name(code), "fetching has to wait");
                self.hold(now);
                return Outcome::Moved;
            }
            code => {
                let offset = self.fetch_at;
                self.tell(
                    code::refused("Fetch", code, format_args!("{name} at offset {offset}")),
                    now,
                );
                return Outcome::Brought;
            }
        }
        self.pauses.reset();
        self.drain = false;
        self.astray = false;
        let known = |offset: i64| (offset >= 0).then_some(offset);
        self.high_watermark = known(part.high_watermark);
        self.last_stable_offset = known(part.last_stable_offset);
        self.log_start_offset = known(part.log_start_offset);
        if let Some(diverging) = &part.diverging_epoch
            && diverging.end_offset >= 0
        {
            return self.diverged(name, diverging.epoch, diverging.end_offset, settings.start);
        }
        let chunk = match Chunk::new(part, self.fetch_at, settings.committed(), lease) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Outcome::Nothing,
            Err(error) => {
                self.tell(error.context(format!("{name} cannot be fetched")), now);
                return Outcome::Brought;
            }
        };
        (self.fetch_at, self.fetch_epoch) = (chunk.end, chunk.epoch);
        self.chunks.push_back(chunk);
        Outcome::Brought
    }

    fn out_of_range(
        &mut self,
        name: &TopicPartition,
        settings: &FetchSettings,
        now: Now,
    ) -> Outcome {
        if self.depth() > 0 {
            // What is here is delivered first; then the position itself is asked for.
            self.drain = true;
            return Outcome::Nothing;
        }
        let offset = self.fetch_at;
        let start = settings.start;
        tracing::warn!(partition = %name, offset, ?start, "the log does not have the position any more");
        self.begin_by(start, || {
            let text = format!(
                "{name} does not have offset {offset} (any more), and `start` says to fail then; \
                 seek to an offset that it has"
            );
            Error::new(Kind::NotFound, text)
        });
        if std::mem::replace(&mut self.astray, true) {
            // A broker that does not have what it offers is not asked in a loop: the first pause of
            // each position is enough for that.
            self.hold(now);
        }
        if self.error.is_some() {
            Outcome::Brought
        } else {
            Outcome::Reset
        }
    }

    /// The leader's log parts from what was read: a leader was lost with what only it had.
    fn diverged(
        &mut self,
        name: &TopicPartition,
        epoch: i32,
        end: i64,
        start: StartPosition,
    ) -> Outcome {
        let position = self.position;
        if end >= position && self.depth() > 0 {
            self.give_up_buffered();
            self.taken = None;
        } else if end >= position {
            self.epoch = Some(epoch);
            self.fetch_epoch = self.epoch;
        } else if start == StartPosition::Fail {
            self.stop(Error::conflict(format!(
                "the log of {name} was cut at offset {end}, behind the position {position}, and \
                 `start` says to fail then; seek to where to go on"
            )));
            return Outcome::Brought;
        } else {
            tracing::warn!(
                partition = %name, position, end,
                "the log was cut behind the position: records that were read are not in it any more"
            );
            self.begin_at(end, Some(epoch));
        }
        Outcome::Nothing
    }
}
