//! Three brokers, of which one after the other is killed and restarted, under our producer and a
//! group of ours.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cqi_testkit::Kafka;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::groups::{judge, quiet, unhandled};
use crate::journal::now;
use crate::load::{Load, Outcome};
use crate::members::{Kind, Member, Place, Starter};
use crate::ownership::Story;
use crate::report::{Report, seconds};

const PARTITIONS: i32 = 12;
const RATE: u32 = 1500;
const RECORDS: usize = 100_000;
const MEMBERS: usize = 3;
/// Partitions of Kafka's own topic, as the test kit makes it.
const OFFSETS: i32 = 4;
/// How long a killed broker stays away, and how long a blow may be felt.
const AWAY: Duration = Duration::from_secs(8);
const FELT: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(60);

/// Whom a blow hits.
#[derive(Clone, Copy, Debug)]
enum Role {
    Leader,
    Coordinator,
    Controller,
}

/// A blow and its time.
type Blow = (Role, Duration);

pub async fn run(version: &str) -> Report {
    let brokers = Kafka::builder().version(version).brokers(3);
    let scene = Scene::start(brokers.start().await.expect("brokers")).await;
    let mut blows: Vec<Blow> = Vec::new();
    for role in [Role::Leader, Role::Coordinator, Role::Controller] {
        scene.settle().await;
        let broker = scene.find(role).await;
        scene.kafka.broker(broker).kill().expect("killed");
        blows.push((role, now()));
        tokio::time::sleep(AWAY).await;
        scene
            .kafka
            .broker(broker)
            .restart()
            .await
            .expect("restarted");
    }
    scene.settle().await;
    scene.load.wait_for(RECORDS, LIMIT * 3).await;
    let mut report = Report::new(format!("three brokers, each killed in turn, {version}"));
    scene.end(&mut report, &blows).await;
    report
}

/// The only copy of the group's offsets is away for a while; the records are not.
pub async fn without_coordinator(version: &str) -> Report {
    let brokers = Kafka::builder().version(version).brokers(3);
    let brokers = brokers.setting("offsets.topic.replication.factor", "1");
    let scene = Scene::start(brokers.start().await.expect("brokers")).await;
    scene.settle().await;
    let broker = scene.find(Role::Coordinator).await;
    scene.kafka.broker(broker).kill().expect("killed");
    let killed = now();
    tokio::time::sleep(AWAY * 3).await;
    let back = now();
    scene
        .kafka
        .broker(broker)
        .restart()
        .await
        .expect("restarted");
    scene.settle().await;
    let mut report = Report::new(format!(
        "no coordinator for {}, {version}",
        seconds(AWAY * 3)
    ));
    let story = scene.end(&mut report, &[(Role::Coordinator, killed)]).await;
    // By then the partitions have other leaders.
    let silences = story.silences(killed + AWAY, back);
    let longest = silences
        .values()
        .map(|silence| silence.0)
        .max()
        .unwrap_or_default();
    let went_on = silences.len();
    report.say(format!(
        "without a coordinator {went_on} of {PARTITIONS} partitions went on, the longest pause {}",
        seconds(longest)
    ));
    if went_on < PARTITIONS as usize || longest > Duration::from_secs(2) {
        report.wrong("members did not keep fetching what they owned".to_owned());
    }
    report
}

/// Brokers with a topic, a load on it, and a group that handles it.
struct Scene {
    kafka: Kafka,
    topic: String,
    group: String,
    folder: PathBuf,
    members: Vec<Member>,
    load: Load,
    began: Duration,
}

impl Scene {
    async fn start(kafka: Kafka) -> Self {
        let topic = kafka.topic("chaos", PARTITIONS).await.expect("a topic");
        let group = kafka.unique("chaos");
        let place = Place {
            bootstrap: kafka.bootstrap(),
            topic: topic.clone(),
            group: group.clone(),
            assignor: "cooperative-sticky".to_owned(),
        };
        let folder = std::env::temp_dir().join(kafka.unique("cqi-chaos"));
        std::fs::create_dir(&folder).expect("a folder");
        let mut starter = Starter::new(&kafka, place, &folder);
        Self {
            load: Load::start(&kafka.bootstrap(), &topic, PARTITIONS, RATE),
            members: (0..MEMBERS).map(|_| starter.start(Kind::Ours)).collect(),
            began: now(),
            kafka,
            topic,
            group,
            folder,
        }
    }

    /// Waits until all copies of all partitions are in step, and a little.
    async fn settle(&self) {
        let deadline = Instant::now() + LIMIT;
        while !tokio::task::block_in_place(|| self.is_in_step()) {
            assert!(
                Instant::now() < deadline,
                "copies out of step for {LIMIT:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    fn is_in_step(&self) -> bool {
        let consumer = reader(&self.kafka);
        let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_secs(5)) else {
            return false;
        };
        let mut partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        metadata.brokers().len() == 3
            && partitions.all(|partition| partition.isr().len() == partition.replicas().len())
    }

    async fn find(&self, role: Role) -> i32 {
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = match role {
                Role::Leader => self.kafka.leader(&self.topic, 0).await,
                Role::Coordinator => {
                    self.kafka
                        .leader("__consumer_offsets", place_of(&self.group))
                        .await
                }
                Role::Controller => self.kafka.controller().await,
            };
            if let Ok(id) = found {
                return id;
            }
            assert!(Instant::now() < deadline, "{role:?}: {found:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the load and the group, and says what came of it.
    async fn end(self, report: &mut Report, blows: &[Blow]) -> Story {
        let Self {
            kafka,
            topic,
            mut members,
            load,
            ..
        } = self;
        let ended = now();
        let written = load.stop().await;
        let calm = Instant::now();
        let behind = loop {
            let behind = unhandled(&members, &written);
            if behind.is_empty() || calm.elapsed() > LIMIT {
                break behind;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        for member in &mut members {
            if !member.is_running() {
                report.wrong(format!("{} ended by itself: {}", member.name, member.log()));
            } else if !member.stop(FELT) {
                report.wrong(format!("{} did not leave within {FELT:?}", member.name));
            }
        }
        let story = Story::of(&members);
        judge(report, &story, &written, &behind);
        quiet(report, &story, self.began, ended);
        for &(role, at) in blows {
            let acked = written
                .acked
                .iter()
                .map(|acked| (acked.partition, acked.at));
            let handled = story
                .handled
                .iter()
                .map(|record| (record.partition, record.at));
            report.say(format!(
                "{role:?} killed: acknowledgements paused for {} at most, records for {}",
                seconds(pause(acked, at)),
                seconds(pause(handled, at)),
            ));
        }
        let log = tokio::task::block_in_place(|| read_all(&kafka, &topic));
        compare(report, &written, &log);
        report.keep(&self.folder);
        story
    }
}

fn reader(kafka: &Kafka) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer")
}

/// Returns the numbers that are in each partition, in order, with their offsets.
fn read_all(kafka: &Kafka, topic: &str) -> BTreeMap<i32, Vec<(i64, u64)>> {
    let consumer = reader(kafka);
    let mut places = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..PARTITIONS {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, LIMIT)
            .expect("offsets");
        left += high - low;
        places
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a partition");
    }
    consumer.assign(&places).expect("assigned");
    let mut log: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
    let deadline = Instant::now() + LIMIT;
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} records left to read");
        // Brokers that were away are errors of their own.
        let Some(Ok(record)) = consumer.poll(Duration::from_secs(1)) else {
            continue;
        };
        let text = std::str::from_utf8(record.payload().expect("a value")).expect("a number");
        let value = text.parse().expect("a number");
        log.entry(record.partition())
            .or_default()
            .push((record.offset(), value));
        left -= 1;
    }
    log
}

/// Compares what was acknowledged with what is there: each once, in order, where it was said to be.
fn compare(report: &mut Report, written: &Outcome, log: &BTreeMap<i32, Vec<(i64, u64)>>) {
    let mut there: BTreeMap<u64, (i32, i64)> = BTreeMap::new();
    for (&partition, records) in log {
        for pair in records.windows(2).filter(|pair| pair[0].1 >= pair[1].1) {
            report.wrong(format!(
                "partition {partition}: {:?} before {:?}",
                pair[0], pair[1]
            ));
        }
        for &(offset, value) in records {
            if let Some(first) = there.insert(value, (partition, offset)) {
                report.wrong(format!(
                    "{value} twice: at {first:?} and {:?}",
                    (partition, offset)
                ));
            }
        }
    }
    for acked in &written.acked {
        let place = there.get(&acked.value);
        let fits = |&(partition, offset): &(i32, i64)| {
            partition == acked.partition && acked.offset.is_none_or(|acked| acked == offset)
        };
        if !place.is_some_and(fits) {
            report.wrong(format!("{acked:?} is at {place:?}"));
        }
    }
    let failed = written
        .failed
        .iter()
        .filter(|(value, ..)| there.contains_key(value))
        .count();
    report.say(format!(
        "{} records in the log, each once, {failed} of them not acknowledged",
        there.len()
    ));
}

/// Returns the longest time that a partition stood still soon after a blow.
fn pause(events: impl Iterator<Item = (i32, Duration)>, blow: Duration) -> Duration {
    let mut last: BTreeMap<i32, Duration> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for (partition, at) in events.filter(|(_, at)| *at <= blow + FELT) {
        let before = last.insert(partition, at);
        if at >= blow {
            longest = longest.max(at - before.unwrap_or(blow));
        }
    }
    longest
}

/// Returns where Kafka keeps the offsets of a group: by the hash of its name, as Java makes it.
fn place_of(group: &str) -> i32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(byte.into())
    });
    (hash & i32::MAX) % OFFSETS
}
