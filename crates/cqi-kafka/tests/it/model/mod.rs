//! Drives several members and a model coordinator through random schedules, and through all
//! schedules of a certain length.

mod coordinator;
mod world;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use cqi_kafka::assignor::Assignor;

use world::{ALL, Plan, Step, World};

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
        wishes: match random.bool() {
            true => [ALL; 3],
            false => [0; 3].map(|_: u8| random.u8(1..=ALL)),
        },
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

/// Within two and a half minutes all is well, and then quiet for 5 s.
fn calms(mut world: World) -> Result<(), String> {
    let mut quiet = Err("the group is not calm".into());
    for _ in 0..30 {
        let before = world.sent;
        world.calm(25);
        if let Some(broken) = world.broken {
            return Err(broken);
        }
        let settled = world.settled();
        if settled.is_ok() && quiet.is_ok() {
            return Ok(());
        }
        quiet = settled.and_then(|()| match world.sent - before {
            0..30 => Ok(()),
            sent => Err(format!("a busy loop: {sent} requests in 5 s")),
        });
    }
    quiet
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

/// Goes through every schedule of a certain length, meeting each state once.
fn explore(start: World, depth: u64, plan: &Plan, so_far: Vec<Step>) -> usize {
    let mut seen = HashSet::new();
    let mut frontier = vec![(start, so_far)];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (world, schedule) in frontier {
            for (_, step) in world.options() {
                let idle = matches!(step, Step::Poll(_) | Step::Resubscribe(_) | Step::Close(_));
                if idle || step == Step::Advance(Duration::from_millis(300)) {
                    continue;
                }
                let mut after = world.clone();
                after.apply(&step);
                let mut schedule = schedule.clone();
                schedule.push(step);
                if after.broken.is_some() {
                    fail(plan, schedule);
                }
                let mut hash = DefaultHasher::new();
                format!("{after:?}").hash(&mut hash);
                if seen.insert(hash.finish()) {
                    next.push((after, schedule));
                }
            }
        }
        frontier = next;
    }
    for (world, schedule) in frontier.into_iter().step_by(97) {
        if calms(world).is_err() {
            fail(plan, schedule);
        }
    }
    seen.len()
}

#[test]
fn all_short_schedules_keep_the_promises() {
    let depth = setting("CQI_MODEL_DEPTH", 3);
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        let plan = Plan {
            processes: 2,
            assignor,
            fixed: false,
            wishes: [ALL; 3],
        };
        // One member works, another comes; the first schedule stops before it joins, the
        // others go further and further into the rebalance.
        let mut schedule = vec![Step::Start(0)];
        let mut world = World::new(plan.clone());
        world.apply(&schedule[0]);
        let mut random = fastrand::Rng::with_seed(1);
        let mut states = 0;
        for length in 1..40 {
            let step = if length == 20 {
                Step::Start(1)
            } else {
                forward(&world, &mut random)
            };
            world.apply(&step);
            schedule.push(step);
            if length % 3 == 0 {
                states += explore(world.clone(), depth, &plan, schedule.clone());
            }
        }
        println!("{assignor:?}: {states} states");
    }
}

/// A step that brings the world on and breaks nothing.
fn forward(world: &World, random: &mut fastrand::Rng) -> Step {
    let good = |step: &Step| {
        matches!(
            step,
            Step::Request(_)
                | Step::Reply(_)
                | Step::Tick(_)
                | Step::Metadata(_)
                | Step::FinishRevocation(_)
        )
    };
    let steps: Vec<_> = world
        .options()
        .into_iter()
        .map(|(_, step)| step)
        .filter(good)
        .collect();
    random
        .choice(steps)
        .unwrap_or(Step::Advance(Duration::from_millis(300)))
}
