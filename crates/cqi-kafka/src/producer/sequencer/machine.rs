use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::batch::{Batch, Finished, Reason};
use super::lane::{Identity, Lane};
use super::{Attempt, AttemptId, Ending, NewBatch, Written};
use crate::TopicPartition;

/// How much at once, and how often again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Unresolved batches per partition; above 5, what brokers remember, is as 5.
    pub max_in_flight: usize,
    /// First pause after a failed attempt; it doubles from there, within 20 % at random.
    pub retry_backoff: Duration,
    /// Longest pause.
    pub retry_backoff_max: Duration,
    /// Connections to each broker, at least one.
    pub connections: usize,
}

/// A connection to a broker: batches of one partition follow each other over one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The id of the broker.
    pub node: i32,
    /// Which of the connections to it.
    pub connection: usize,
}

/// Numbers and tracks the batches of one producer; see the [module](super) for how to drive it.
#[derive(Debug, Clone)]
pub struct Sequencer {
    limits: Limits,
    random: fastrand::Rng,
    /// For partitions that have none.
    identity: Option<Identity>,
    lanes: Vec<Lane>,
    by_partition: HashMap<TopicPartition, usize>,
    /// Lanes with something to do.
    busy: BTreeSet<usize>,
    /// Where the next request starts, so that no partition starves.
    cursors: HashMap<Route, usize>,
    /// How many partitions each broker was given a connection for.
    routed: HashMap<i32, usize>,
    last_attempt: u64,
    stale: bool,
    finished: Vec<Finished>,
}

impl Sequencer {
    /// Creates one without a producer id; the seed decides the jitter of its pauses.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits: Limits {
                max_in_flight: limits.max_in_flight.clamp(1, 5),
                connections: limits.connections.max(1),
                ..limits
            },
            random: fastrand::Rng::with_seed(seed),
            identity: None,
            lanes: Vec::new(),
            by_partition: HashMap::new(),
            busy: BTreeSet::new(),
            cursors: HashMap::new(),
            routed: HashMap::new(),
            last_attempt: 0,
            stale: false,
            finished: Vec::new(),
        }
    }

    /// Takes a batch behind those before it.
    pub fn push(&mut self, partition: &TopicPartition, batch: NewBatch) {
        let at = self.lane(partition);
        self.lanes[at].queue.push_back(Batch::new(batch));
        self.busy.insert(at);
    }

    /// Says who leads a partition, which keeps to one of the connections to it from then on;
    /// partitions take them in turn.
    pub fn lead(&mut self, partition: &TopicPartition, leader: Option<i32>) {
        let at = self.lane(partition);
        let lane = &mut self.lanes[at];
        lane.led = leader.is_some();
        if let Some(node) = leader
            && lane.route.is_none_or(|route| route.node != node)
        {
            let routed = self.routed.entry(node).or_default();
            let connection = *routed % self.limits.connections;
            *routed = routed.wrapping_add(1);
            lane.route = Some(Route { node, connection });
        }
    }

    /// Whether some partition waits for a producer id.
    #[must_use]
    pub fn wants_identity(&self) -> bool {
        self.busy
            .iter()
            .any(|&at| self.lanes[at].identity.is_none())
    }

    /// Gives a producer id and epoch, as a broker assigned it.
    pub fn identify(&mut self, id: i64, epoch: i16) {
        self.identity = Some(Identity { id, epoch });
        for lane in &mut self.lanes {
            lane.identity = lane.identity.or(self.identity);
        }
    }

    /// Gives up what waits for a producer id: there is none to be had.
    pub fn unidentified(&mut self) {
        for &at in &self.busy {
            let lane = &mut self.lanes[at];
            if lane.identity.is_none() {
                let given_up = lane.queue.drain(..);
                let given_up =
                    given_up.map(|batch| batch.failed(Reason::Unidentified, Written::No));
                self.finished.extend(given_up);
            }
        }
        self.tidy();
    }

    /// Takes what may go that way in one request, at most one batch of each partition; one batch
    /// goes even when it is larger than `max_bytes`.
    pub fn drain(&mut self, now: Duration, route: Route, max_bytes: usize) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        let mut bytes = 0_usize;
        let from = self.cursors.get(&route).copied().unwrap_or_default();
        for &at in self.busy.range(from..).chain(self.busy.range(..from)) {
            let lane = &mut self.lanes[at];
            if lane.leader() != Some(route) {
                continue;
            }
            let Some((next, batch)) = lane.next(now, self.limits.max_in_flight) else {
                continue;
            };
            if !attempts.is_empty() && bytes + batch.new.bytes > max_bytes {
                self.cursors.insert(route, at);
                break;
            }
            bytes += batch.new.bytes;
            self.last_attempt += 1;
            let id = AttemptId(self.last_attempt);
            let Some((batch, producer)) = lane.start(next, id) else {
                continue;
            };
            attempts.push(Attempt {
                id,
                batch: batch.new.id,
                producer,
                partition: lane.partition.clone(),
            });
        }
        attempts
    }

    /// Says how an attempt ended.
    pub fn end(&mut self, now: Duration, attempt: &Attempt, ending: Ending) {
        let Some(&at) = self.by_partition.get(&attempt.partition) else {
            return;
        };
        let lane = &mut self.lanes[at];
        let sequel = lane.end(now, attempt.id, ending, &mut self.finished);
        self.stale |= sequel.stale;
        if sequel.pause && !lane.failing {
            lane.failing = true;
            lane.failures += 1;
            lane.resume_at = now + pause(&self.limits, lane.failures, &mut self.random);
        }
        if lane.is_idle() {
            self.busy.remove(&at);
        }
    }

    /// Gives up what is late.
    pub fn tick(&mut self, now: Duration) {
        for &at in &self.busy {
            self.lanes[at].expire(now, &mut self.finished);
        }
        self.tidy();
    }

    /// When to call [`tick`](Self::tick) and [`drain`](Self::drain) next, if nothing else happens.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let busy = self.busy.iter();
        busy.filter_map(|&at| self.lanes[at].deadline(now)).min()
    }

    /// Drops what is known of the partitions of some topics, except where batches are unresolved.
    ///
    /// Should they be written to again, it is in an epoch that brokers have not seen there.
    pub fn forget(&mut self, topic: impl Fn(&str) -> bool) {
        let forgotten = |lane: &mut Lane| lane.is_idle() && topic(lane.partition.topic());
        for lane in self.lanes.extract_if(.., forgotten) {
            self.identity = self.identity.and_then(|base| base.beyond(lane.identity?));
            self.by_partition.remove(&lane.partition);
        }
        self.busy.clear();
        for (at, lane) in self.lanes.iter().enumerate() {
            if let Some(known) = self.by_partition.get_mut(&lane.partition) {
                *known = at;
            }
            if !lane.is_idle() {
                self.busy.insert(at);
            }
        }
    }

    /// Gives up everything.
    pub fn close(&mut self) {
        for &at in &self.busy {
            let lane = &mut self.lanes[at];
            while !lane.window.is_empty() {
                lane.give_up(0, Reason::Closed, &mut self.finished);
            }
            let queue = lane.queue.drain(..);
            let given_up = queue.map(|batch| batch.failed(Reason::Closed, Written::No));
            self.finished.extend(given_up);
        }
        self.tidy();
    }

    /// Takes what is done since the last call.
    pub fn finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.finished)
    }

    /// Tells, once, that some broker did not lead what it was thought to.
    pub fn take_stale(&mut self) -> bool {
        std::mem::take(&mut self.stale)
    }

    /// The partitions that have unresolved batches, and how their leaders are reached.
    pub fn busy(&self) -> impl Iterator<Item = (&TopicPartition, Option<Route>)> {
        let busy = self.busy.iter().map(|&at| &self.lanes[at]);
        busy.map(|lane| (&lane.partition, lane.leader()))
    }

    fn lane(&mut self, partition: &TopicPartition) -> usize {
        if let Some(&at) = self.by_partition.get(partition) {
            return at;
        }
        let mut lane = Lane::new(partition.clone());
        lane.identity = self.identity;
        self.lanes.push(lane);
        let at = self.lanes.len() - 1;
        self.by_partition.insert(partition.clone(), at);
        at
    }

    fn tidy(&mut self) {
        let lanes = &self.lanes;
        self.busy.retain(|&at| !lanes[at].is_idle());
    }
}

fn pause(limits: &Limits, failures: u32, random: &mut fastrand::Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = limits.retry_backoff.saturating_mul(1 << doublings);
    pause
        .min(limits.retry_backoff_max)
        .mul_f64(0.8 + 0.4 * random.f64())
}
