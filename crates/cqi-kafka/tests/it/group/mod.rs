//! Groups of members, on real brokers.

mod commits;
mod coordinator;
mod idle;
mod lifecycle;
mod plain;
mod refusals;
mod revocation;
mod sharing;
mod statics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cqi_errors::Kind;
use cqi_kafka::assignor::Assignor;
use cqi_kafka::membership::Offset;
use cqi_kafka::{
    Client, ClientSettings, Event, GroupConsumer, GroupSettings, Revocation, StartPosition,
    TopicPartition,
};
use cqi_testkit::Kafka;
use futures_util::future::join_all;

/// Longer than anything here takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The least that brokers allow by default.
const SESSION: Duration = Duration::from_secs(6);

fn settings(group: &str) -> GroupSettings {
    let mut settings = GroupSettings::new(group);
    settings.member.session_timeout = SESSION;
    settings.member.heartbeat_interval = Duration::from_millis(300);
    settings.member.request_timeout = Duration::from_secs(10);
    settings.fetch.start = StartPosition::Earliest;
    settings
}

fn with_assignor(group: &str, assignor: Assignor) -> GroupSettings {
    let mut settings = settings(group);
    settings.member.assignors = vec![assignor];
    settings
}

fn of(topic: &str, partitions: impl IntoIterator<Item = i32>) -> BTreeSet<TopicPartition> {
    let partitions = partitions.into_iter();
    partitions.map(|p| TopicPartition::new(topic, p)).collect()
}

fn offset(offset: i64, metadata: &str) -> Offset {
    Offset {
        offset,
        leader_epoch: None,
        metadata: metadata.into(),
    }
}

async fn connect(kafka: &Kafka) -> Client {
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    settings.request_timeout = Duration::from_secs(5);
    Client::connect(settings).await.unwrap()
}

/// What all members of a group have seen: how often each record, by its value.
type Seen = Arc<Mutex<BTreeMap<String, usize>>>;

/// A member at work: it commits what it got, and gives back what it is asked for.
struct Seat {
    consumer: GroupConsumer,
    owned: BTreeSet<TopicPartition>,
    /// What happened besides records, in a word each.
    log: Vec<&'static str>,
    rebalances: usize,
    seen: Seen,
    commits: bool,
    /// Kept open by tests that want to.
    revocation: Option<Revocation>,
    holds: bool,
}

impl Seat {
    async fn join(kafka: &Kafka, settings: GroupSettings, topic: &str) -> Self {
        Self::join_as(&connect(kafka).await, settings, topic, &Seen::default())
    }

    fn join_as(client: &Client, settings: GroupSettings, topic: &str, seen: &Seen) -> Self {
        Self {
            consumer: GroupConsumer::join(client, settings, [topic]).unwrap(),
            owned: BTreeSet::new(),
            log: Vec::new(),
            rebalances: 0,
            seen: Arc::clone(seen),
            commits: true,
            revocation: None,
            holds: false,
        }
    }

    async fn step(&mut self) {
        match self.consumer.poll(Duration::from_millis(50)).await.unwrap() {
            Some(Event::Assigned(partitions)) => {
                assert!(self.owned.is_disjoint(&partitions), "assigned twice");
                self.rebalances += 1;
                if !partitions.is_empty() {
                    self.owned.extend(partitions);
                    self.log.push("assigned");
                }
            }
            Some(Event::Revoked(revocation)) => {
                assert!(self.owned.is_superset(revocation.partitions()));
                self.owned = &self.owned - revocation.partitions();
                self.log.push("revoked");
                self.revocation = self.holds.then_some(revocation);
            }
            Some(Event::Lost(partitions)) => {
                self.owned = &self.owned - &partitions;
                self.log.push("lost");
            }
            Some(Event::Records(records)) => {
                assert!(
                    self.owned.contains(records.partition()),
                    "a record of {} which is not owned",
                    records.partition()
                );
                for record in &*records {
                    let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
                    *self.seen.lock().unwrap().entry(value).or_default() += 1;
                }
                if self.commits {
                    self.commit([records.next_offset()]).await;
                }
            }
            None => {}
            Some(other) => panic!("unexpected {other:?}"),
        }
    }

    /// Commits, unless the group moves on at the same time.
    async fn commit(&self, offset: [(TopicPartition, Offset); 1]) {
        if let Err(error) = self.consumer.commit(offset).await {
            let passing = [Kind::Temporary, Kind::Conflict, Kind::Timeout];
            assert!(passing.contains(&error.kind()), "{error:#}");
        }
    }

    fn count(&self) -> usize {
        self.owned.len()
    }
}

/// Lets all work until they have come to what is asked for.
async fn until(seats: &mut [Seat], what: &str, reached: impl Fn(&[Seat]) -> bool) -> Duration {
    let begun = Instant::now();
    while !reached(seats) {
        if begun.elapsed() > PATIENCE {
            let told: Vec<_> = seats
                .iter()
                .map(|seat| (&seat.owned, &seat.log, seat.consumer.status()))
                .collect();
            panic!("never {what}: {told:#?}");
        }
        join_all(seats.iter_mut().map(Seat::step)).await;
    }
    begun.elapsed()
}

/// Whether the members have so many partitions, and all of these between them.
fn share(seats: &[Seat], counts: &[usize]) -> bool {
    let mut shares: Vec<_> = seats.iter().map(Seat::count).collect();
    shares.sort_unstable();
    let owned: BTreeSet<_> = seats.iter().flat_map(|seat| &seat.owned).collect();
    shares == counts && owned.len() == counts.iter().sum::<usize>()
}

/// Whether they have them and no rebalance is under way, in which a commit would be refused.
fn settled(seats: &[Seat], counts: &[usize]) -> bool {
    share(seats, counts) && seats.iter().all(|seat| seat.consumer.status().stable)
}

/// Whether each of so many records was seen.
fn seen_all(seen: &Seen, count: usize) -> bool {
    seen.lock().unwrap().len() == count
}

/// How many records came more than once.
fn replays(seen: &Seen) -> usize {
    seen.lock().unwrap().values().map(|times| times - 1).sum()
}
