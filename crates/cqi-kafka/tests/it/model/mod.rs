//! Drives several members and a model coordinator through random schedules, and through all
//! schedules of a certain length.

mod coordinator;
mod world;

use std::time::{Duration, Instant};

use cqi_kafka::assignor::Assignor;

use world::{Plan, Step, World};

/// A number from the environment, for longer runs than the usual ones.
fn setting(name: &str, usual: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn plan(random: &mut fastrand::Rng) -> Plan {
    Plan {
        processes: random.usize(2..=3),
        assignor: random
            .choice([
                Assignor::Range,
                Assignor::RoundRobin,
                Assignor::CooperativeSticky,
                Assignor::CooperativeSticky,
            ])
            .unwrap(),
        fixed: random.u8(..5) == 0,
    }
}

fn pick(world: &World, random: &mut fastrand::Rng) -> Step {
    let options = world.options();
    let total: u32 = options.iter().map(|(weight, _)| weight).sum();
    let mut rest = random.u32(..total);
    for (weight, step) in options {
        if rest < weight {
            return step;
        }
        rest -= weight;
    }
    unreachable!("the rest is below the total");
}

/// The promise that a schedule breaks, during it or in the calm afterwards.
fn broken(plan: &Plan, schedule: &[Step]) -> Option<String> {
    let mut world = World::new(plan.clone());
    for step in schedule {
        world.apply(step);
        if world.broken.is_some() {
            return world.broken;
        }
    }
    calms(world).err()
}

fn calms(mut world: World) -> Result<(), String> {
    for _ in 0..30 {
        world.calm(25);
        if let Some(broken) = world.broken {
            return Err(broken);
        }
        if world.settled().is_ok() {
            break;
        }
    }
    world.settled()?;
    let before = world.sent;
    world.calm(25);
    match world.sent - before {
        0..100 => world.settled(),
        sent => Err(format!("a busy loop: {sent} requests in 5 s")),
    }
}

/// Leaves out what the failure does not need.
fn shortened(plan: &Plan, mut schedule: Vec<Step>) -> Vec<Step> {
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

fn fail(plan: &Plan, schedule: Vec<Step>) -> ! {
    let schedule = shortened(plan, schedule);
    let text = broken(plan, &schedule).unwrap_or_default();
    let steps: Vec<_> = schedule.iter().map(|step| format!("{step:?}")).collect();
    panic!("{text}\n{plan:?}\n{}", steps.join("; "));
}

#[test]
fn random_schedules_keep_the_promises() {
    let first = setting("CQI_MODEL_SEED", 0);
    for seed in first..first + setting("CQI_MODEL_SCHEDULES", 300) {
        let mut random = fastrand::Rng::with_seed(seed);
        let plan = plan(&mut random);
        let mut world = World::new(plan.clone());
        let mut schedule = Vec::new();
        for _ in 0..random.usize(50..400) {
            let step = pick(&world, &mut random);
            world.apply(&step);
            schedule.push(step);
            if world.broken.is_some() {
                fail(&plan, schedule);
            }
        }
        if calms(world).is_err() {
            fail(&plan, schedule);
        }
    }
}
