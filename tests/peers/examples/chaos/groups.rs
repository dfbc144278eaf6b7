//! One group of our members, librdkafka's and Java's, killed, frozen, stopped and restarted in random
//! order while records come in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cqi_testkit::Kafka;

use crate::load::{Load, Outcome};
use crate::members::{Kind, Member, Place, SESSION, Starter};
use crate::ownership::{End, Story};
use crate::report::{Report, seconds};

const PARTITIONS: i32 = 12;
const RATE: u32 = 1000;
const MEMBERS: usize = 6;
/// So many are always left alone.
const SPARED: usize = 2;
/// How long all may take to have handled what was written, once the world is calm.
const CALM: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(15);

/// The place of a member, which is taken by one process after the other.
enum Seat {
    Runs(Member),
    Frozen(Member, Instant),
    Empty(Instant),
}

pub async fn run(
    version: &str,
    assignor: &str,
    kinds: &[Kind],
    time: Duration,
    seed: u64,
) -> Report {
    let kinds: Vec<Kind> = kinds.iter().copied().cycle().take(MEMBERS).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let kafka = Kafka::builder()
        .version(version)
        .start()
        .await
        .expect("a broker");
    let topic = kafka.topic("chaos", PARTITIONS).await.expect("a topic");
    let place = Place {
        bootstrap: kafka.bootstrap(),
        topic: topic.clone(),
        group: kafka.unique("chaos"),
        assignor: assignor.to_owned(),
    };
    let folder = std::env::temp_dir().join(kafka.unique("cqi-chaos"));
    std::fs::create_dir(&folder).expect("a folder");
    let mut starter = Starter::new(&kafka, place, &folder);
    let load = Load::start(&kafka.bootstrap(), &topic, PARTITIONS, RATE);
    let began = crate::journal::now();
    let mut past = Vec::new();
    let mut seats: Vec<Seat> = kinds
        .iter()
        .map(|&kind| Seat::Runs(starter.start(kind)))
        .collect();
    let mut deeds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut report = Report::new(format!("{assignor} on {version}, seed {seed}"));

    let end = Instant::now() + time;
    let mut next = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
        for (seat, kind) in seats.iter_mut().zip(kinds.iter().copied()) {
            recover(seat, kind, &mut starter, &mut report, &mut past, false);
        }
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + random_time(&mut random, 1000..5000);
        let running = seats
            .iter_mut()
            .filter(|seat| matches!(seat, Seat::Runs(_)));
        let running: Vec<_> = running.collect();
        if running.len() <= SPARED {
            continue;
        }
        let chosen = random.usize(..running.len());
        let Some(seat) = running.into_iter().nth(chosen) else {
            continue;
        };
        let deed = strike(seat, &mut random, &mut report, &mut past);
        *deeds.entry(deed).or_default() += 1;
    }
    // All come back, and handle the rest.
    for (seat, kind) in seats.iter_mut().zip(kinds.iter().copied()) {
        recover(seat, kind, &mut starter, &mut report, &mut past, true);
    }
    let ended = crate::journal::now();
    let written = load.stop().await;
    let mut members: Vec<Member> = past;
    let calm = Instant::now();
    let in_seats = seats.into_iter().filter_map(|seat| match seat {
        Seat::Runs(member) | Seat::Frozen(member, _) => Some(member),
        Seat::Empty(_) => None,
    });
    members.extend(in_seats);
    let behind = loop {
        let behind = unhandled(&members, &written);
        if behind.is_empty() || calm.elapsed() > CALM {
            break behind;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let caught_up = calm.elapsed();
    for member in &mut members {
        if member.is_running() && !member.stop(STOP) {
            report.wrong(format!("{} did not leave within {STOP:?}", member.name));
        }
    }
    let story = Story::of(&members);
    let deeds: Vec<_> = deeds
        .iter()
        .map(|(deed, count)| format!("{count} {deed}"))
        .collect();
    report.say(format!("{} members, {}", members.len(), deeds.join(", ")));
    report.say(format!(
        "caught up {} after the last blow",
        seconds(caught_up)
    ));
    judge(&mut report, &story, &written, &behind);
    quiet(&mut report, &story, began, ended);
    report.keep(&folder);
    report
}

/// Does something bad to a member.
fn strike(
    seat: &mut Seat,
    random: &mut fastrand::Rng,
    report: &mut Report,
    past: &mut Vec<Member>,
) -> &'static str {
    let taken = std::mem::replace(seat, Seat::Empty(Instant::now()));
    let Seat::Runs(mut member) = taken else {
        unreachable!("only those that run are struck");
    };
    match random.u8(..5) {
        0 | 1 => {
            member.kill();
            past.push(member);
            *seat = Seat::Empty(Instant::now() + random_time(random, 100..9000));
            "killed"
        }
        2 | 3 => {
            member.freeze();
            let time = SESSION + random_time(random, 1000..4000);
            *seat = Seat::Frozen(member, Instant::now() + time);
            "frozen"
        }
        _ => {
            if !member.stop(STOP) {
                report.wrong(format!("{} did not leave within {STOP:?}", member.name));
            }
            past.push(member);
            *seat = Seat::Empty(Instant::now() + random_time(random, 100..3000));
            "stopped"
        }
    }
}

/// Thaws and restarts members whose time has come, or all.
fn recover(
    seat: &mut Seat,
    kind: Kind,
    starter: &mut Starter,
    report: &mut Report,
    past: &mut Vec<Member>,
    all: bool,
) {
    let now = Instant::now();
    match std::mem::replace(seat, Seat::Empty(now)) {
        Seat::Runs(mut member) => {
            if member.is_running() {
                *seat = Seat::Runs(member);
            } else {
                report.wrong(format!("{} ended by itself: {}", member.name, member.log()));
                member.kill();
                past.push(member);
            }
        }
        Seat::Frozen(mut member, until) if until <= now || all => {
            member.thaw();
            *seat = Seat::Runs(member);
        }
        Seat::Empty(until) if until <= now || all => *seat = Seat::Runs(starter.start(kind)),
        other => *seat = other,
    }
}

fn random_time(random: &mut fastrand::Rng, millis: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(millis))
}

pub fn unhandled(members: &[Member], written: &Outcome) -> Vec<u64> {
    let handled: BTreeSet<u64> = Story::of(members)
        .handled
        .iter()
        .map(|record| record.value)
        .collect();
    let acked = written.acked.iter().map(|record| record.value);
    acked.filter(|value| !handled.contains(value)).collect()
}

/// Says whether all came, how often, and whether each partition had one owner.
pub fn judge(report: &mut Report, story: &Story, written: &Outcome, unhandled: &[u64]) {
    if !unhandled.is_empty() {
        let some: Vec<_> = unhandled.iter().take(10).collect();
        report.wrong(format!(
            "{} acknowledged records not handled: {some:?}",
            unhandled.len()
        ));
    }
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    let mut places: BTreeMap<(i32, i64), u64> = BTreeMap::new();
    for record in &story.handled {
        *times.entry(record.value).or_default() += 1;
        let known = places.insert((record.partition, record.offset), record.value);
        if known.is_some_and(|known| known != record.value) {
            report.wrong(format!("two values at one place: {record:?}, {known:?}"));
        }
    }
    for acked in &written.acked {
        let place = acked
            .offset
            .and_then(|offset| places.get(&(acked.partition, offset)));
        if place.is_some_and(|value| *value != acked.value) {
            report.wrong(format!("{acked:?}, where {place:?} was read"));
        }
    }
    let again = story.handled.len() - times.len();
    report.say(format!(
        "{} records acknowledged, {} failed; {} handled, {again} again ({:.2} %)",
        written.acked.len(),
        written.failed.len(),
        times.len(),
        again as f64 * 100.0 / times.len().max(1) as f64,
    ));
    if let Some((value, known, why)) = written.failed.first() {
        report.wrong(format!("{value} was not acknowledged ({known:?}): {why}"));
    }
    report.say(format!("{} ownerships", story.spans.len()));
    for (first, second, time) in story.overlaps() {
        let text = format!(
            "{} and {} owned {} for {time:?}",
            first.member, second.member, first.partition
        );
        match first.end {
            // The group gave it up before it could know.
            End::Lost => report.say(format!(
                "{text}, until the first learnt that it had lost it"
            )),
            // Others' clients may be out of their group without a word, once they were silent for so long.
            _ if first.kind != Kind::Ours && first.seen + SESSION <= second.from => {
                let silent = seconds(second.from - first.seen);
                report.say(format!(
                    "{text}, but the first had been silent for {silent}"
                ));
            }
            _ => report.wrong(format!("{text} ({:?} at {:?})", first.end, first.to)),
        }
    }
    for broken in &story.broken {
        report.wrong(broken.clone());
    }
    for (failure, count) in &story.failures {
        report.say(format!("{count} times {failure}"));
    }
}

/// Says how long a partition went without progress.
pub fn quiet(report: &mut Report, story: &Story, from: Duration, to: Duration) {
    let silences = story.silences(from, to);
    let (partition, (time, at)) = silences
        .iter()
        .max_by_key(|(_, silence)| silence.0)
        .expect("records");
    let times: Vec<_> = silences.values().map(|(time, _)| seconds(*time)).collect();
    report.say(format!(
        "longest time without progress: {} ({})",
        seconds(*time),
        times.join(", ")
    ));
    report.say(format!(
        "  the longest, of partition {partition}, began {} after the start",
        seconds(*at - from)
    ));
}
