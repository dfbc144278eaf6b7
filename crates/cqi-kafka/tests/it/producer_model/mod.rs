//! Drives the sequencer and model brokers through random schedules.

mod broker;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use world::{CERTAIN, DOUBTFUL, Plan, Step, World};

/// A number from the environment, for longer runs than the usual ones.
fn setting(name: &str, usual: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn plan(random: &mut fastrand::Rng) -> Plan {
    Plan {
        partitions: random.u8(1..=2),
        max_in_flight: random.choice([1, 2, 5, 5, 5, 9]).unwrap(),
        // Near the last one, epochs run out.
        first_epoch: random.choice([0, 0, 0, i16::MAX - 1]).unwrap(),
    }
}

/// What comes next; how much goes wrong differs from schedule to schedule.
fn pick(trouble: u32, random: &mut fastrand::Rng) -> Step {
    let any = |random: &mut fastrand::Rng| random.u8(..);
    if random.u32(..100) >= trouble {
        return match random.u8(..16) {
            0..3 => Step::Push(any(random), random.u8(..3)),
            3..6 => Step::Send,
            6..9 => Step::Arrive(random.u8(..3)),
            9..11 => Step::Replicate(any(random)),
            11..13 => Step::Answer(random.u8(..3)),
            13 => Step::Advance(random.u16(..300)),
            14 => Step::Identify,
            _ => Step::Learn(any(random)),
        };
    }
    let n = any(random);
    match random.u8(..25) {
        0..2 => Step::Drop(n),
        2..5 => Step::Refuse(n, random.choice(DOUBTFUL).unwrap(), random.bool()),
        5..8 => Step::Refuse(n, random.choice(CERTAIN).unwrap(), false),
        8..12 => Step::Break(n),
        12 => Step::Unsent(n),
        13..15 => Step::Despair(n, random.choice(DOUBTFUL).unwrap()),
        15..17 => Step::Move(n, any(random), random.u8(..3), random.u8(..8)),
        17..19 => Step::Restart(n, random.u8(..8)),
        19 => Step::Forget(n),
        20..22 => Step::Advance(random.u16(..12_000)),
        22 => Step::Arrive(n),
        23 => Step::Idle(n),
        _ if random.u8(..20) == 0 => Step::Close,
        _ if random.u8(..8) == 0 => Step::Unidentified,
        _ => Step::Answer(n),
    }
}

/// The promise that a schedule breaks, during it or in the calm afterwards.
fn broken(plan: Plan, schedule: &[Step]) -> Option<String> {
    let mut world = World::new(plan);
    for step in schedule {
        world.apply(*step);
        if world.broken.is_some() {
            return world.broken;
        }
    }
    world.calm().err()
}

/// Leaves out what the failure does not need.
fn shortened(plan: Plan, mut schedule: Vec<Step>) -> Vec<Step> {
    let until = Instant::now() + Duration::from_secs(10);
    let mut size = schedule.len();
    while size > 0 {
        let mut at = 0;
        while at < schedule.len() && Instant::now() < until {
            let mut without = schedule.clone();
            without.drain(at..(at + size).min(schedule.len()));
            if broken(plan, &without).is_some() {
                schedule = without;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    schedule
}

#[test]
fn random_schedules_write_nothing_twice_and_lose_nothing() {
    let first = setting("CQI_MODEL_SEED", 0);
    let mut counts = BTreeMap::new();
    for seed in first..first + setting("CQI_MODEL_SCHEDULES", 10_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let plan = plan(&mut random);
        let trouble = random.u32(..50);
        let mut world = World::new(plan);
        let mut schedule = Vec::new();
        for _ in 0..random.usize(20..200) {
            let step = pick(trouble, &mut random);
            world.apply(step);
            schedule.push(step);
            if world.broken.is_some() {
                break;
            }
        }
        if world.broken.is_some() || world.calm().is_err() {
            let schedule = shortened(plan, schedule);
            let text = broken(plan, &schedule).unwrap_or_default();
            panic!("seed {seed}: {text}\n{plan:?}\n{schedule:?}");
        }
        world.tally(&mut counts);
    }
    println!("{counts:?}");
}
