//! Gets and sets of one value in Redis: CQI beside fred and redis-rs, each with one connection.
//!
//! All use the same server and take turns in short rounds, so that a busy machine slows all of
//! them; what counts are the ratios, which are taken within each round. CQI's values are messages
//! with a header of 30 bytes, which it decodes and checks; the others move the message's bytes.

mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cqi_testkit::Redis;
use tokio::task::JoinSet;

use store::{Document, KEYS, NAMES, Names, SIZE, Store};

const TASKS: usize = 64;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(300);
const SINGLES: usize = 100;
const MANY: usize = 100;

#[derive(Clone, Copy)]
enum Operation {
    Get,
    Set,
}

/// What one round of one client shows; times are in microseconds.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    cpu: f64,
    median: f64,
    slowest_percent: f64,
}

async fn round(store: &Store, keys: &Arc<Vec<Names>>, operation: Operation, tasks: usize) -> Round {
    let cpu = cpu_time();
    let started = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let (store, keys) = (store.clone(), Arc::clone(keys));
            let document = Document::new();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(16_384);
                let mut before = started;
                while before.duration_since(started) < ROUND {
                    let key = &keys[(task * 31 + times.len()) % KEYS];
                    match operation {
                        Operation::Get => store.get(key).await,
                        Operation::Set => store.set(key, &document).await,
                    }
                    let now = Instant::now();
                    times.push(micros(now.duration_since(before)));
                    before = now;
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    let count = times.len() as f64;
    let rate = count / started.elapsed().as_secs_f64();
    let cpu = micros(cpu_time() - cpu) / count;
    times.sort_by(f64::total_cmp);
    Round {
        rate,
        cpu,
        median: times[times.len() / 2],
        slowest_percent: times[times.len() * 99 / 100],
    }
}

/// Returns the CPU time of this process, user and system, which a busy machine does not change.
fn cpu_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.try_into().expect("a time since the start")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare(stores: &[Store], keys: &Arc<Vec<Names>>, operation: Operation, tasks: usize) {
    let mut rounds = vec![Vec::new(); stores.len()];
    for number in 0..=ROUNDS {
        for turn in 0..stores.len() {
            let n = (turn + number) % stores.len();
            let round = round(&stores[n], keys, operation, tasks).await;
            // The first is the warm-up.
            if number > 0 {
                rounds[n].push(round);
            }
        }
    }
    let title = match operation {
        Operation::Get => "gets",
        Operation::Set => "sets",
    };
    println!("\n{title} of {SIZE} bytes, {tasks} tasks; medians of {ROUNDS} rounds\n");
    println!("| client | {title}/s | of fred | of redis-rs | p50 | p99 | CPU |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (name, own) in NAMES.iter().zip(&rounds) {
        let of = |other: &[Round]| median(own.iter().zip(other).map(|(a, b)| a.rate / b.rate));
        println!(
            "| {name} | {:.0} | {:.2}x | {:.2}x | {:.0} us | {:.0} us | {:.2} us |",
            median(own.iter().map(|round| round.rate)),
            of(&rounds[1]),
            of(&rounds[2]),
            median(own.iter().map(|round| round.median)),
            median(own.iter().map(|round| round.slowest_percent)),
            median(own.iter().map(|round| round.cpu)),
        );
    }
}

/// Compares one call for many values with as many calls, awaited in turn, by one task beside others
/// that get values all the time.
async fn many(stores: &[Store], keys: &Arc<Vec<Names>>, others: usize) {
    println!("\n{MANY} gets by one task, beside {others} others\n");
    println!("| client | one call | in turn | ratio |");
    println!("|---|---:|---:|---:|");
    for (name, store) in NAMES.iter().zip(stores) {
        let mut beside = JoinSet::new();
        for other in 0..others {
            let (store, keys) = (store.clone(), Arc::clone(keys));
            beside.spawn(async move {
                for n in 0_usize.. {
                    store.get(&keys[(other * 31 + n) % KEYS]).await;
                }
            });
        }
        let (store, keys) = (store.clone(), Arc::clone(keys));
        let times = tokio::spawn(async move {
            let mut times = Vec::with_capacity(SINGLES);
            for begin in 0..SINGLES {
                let keys = &keys[begin..begin + MANY];
                let started = Instant::now();
                store.get_many(keys).await;
                let at_once = micros(started.elapsed());
                let started = Instant::now();
                for key in keys {
                    store.get(key).await;
                }
                times.push((at_once, micros(started.elapsed())));
            }
            times
        });
        let times = times.await.expect("no panic");
        println!(
            "| {name} | {:.0} us | {:.0} us | {:.1}x |",
            median(times.iter().map(|(at_once, _)| *at_once)),
            median(times.iter().map(|(_, in_turn)| *in_turn)),
            median(times.iter().map(|(at_once, in_turn)| in_turn / at_once)),
        );
    }
}

#[tokio::main]
async fn main() {
    let server = Redis::builder().private().start().await.expect("a server");
    let keys = Arc::new(Names::all());
    let mut stores = Vec::new();
    for name in NAMES {
        let store = Store::connect(name, &server).await;
        store.fill(&keys).await;
        stores.push(store);
    }
    for tasks in [TASKS, 1] {
        compare(&stores, &keys, Operation::Get, tasks).await;
    }
    for others in [TASKS - 1, 0] {
        many(&stores, &keys, others).await;
    }
    for tasks in [TASKS, 1] {
        compare(&stores, &keys, Operation::Set, tasks).await;
    }
}
