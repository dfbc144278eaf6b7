//! How much a slow consumer of 1,000 partitions grows, in a process of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use cqi_testkit::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::broker::{self, Shape};
use crate::measure::{median, percentile};
use crate::{fetch, ours};

/// The argument that makes a process a slow consumer.
pub const CHILD: &str = "--slow";

const ROUNDS: usize = 3;
const NAMES: [&str; 2] = ["cqi-kafka", "rdkafka"];
/// 300 records of 1 KiB in each partition.
const SHAPE: Shape = Shape::new(1024, 1000, 300_000);
/// What either may buffer: CQI's default, which librdkafka counts in KiB.
pub const BUFFER: usize = 64 << 20;
const TIME: Duration = Duration::from_secs(15);
/// Between polls.
pub const NAP: Duration = Duration::from_millis(100);

pub async fn compare(kafka: &Kafka) {
    let topic = broker::preload(kafka, SHAPE).await;
    println!(
        "\na slow consumer of {} partitions, buffering {} MiB; {ROUNDS} rounds\n",
        SHAPE.partitions,
        BUFFER >> 20
    );
    println!("| client | grows by | at most |");
    println!("|---|---:|---:|");
    for name in NAMES {
        let grown: Vec<f64> = (0..ROUNDS).map(|_| slow(name, kafka, &topic)).collect();
        let most = percentile(grown.iter().copied(), 100);
        println!("| {name} | {:.0} MiB | {most:.0} MiB |", median(grown));
    }
    kafka.delete_topic(&topic).await.expect("deleted");
}

/// Returns by how many MiB a slow consumer has grown at most.
fn slow(name: &str, kafka: &Kafka, topic: &str) -> f64 {
    let program = std::env::current_exe().expect("a path");
    let child = Command::new(program)
        .args([CHILD, name, &kafka.bootstrap(), topic])
        .output();
    let output = child.expect("the benchmark runs itself");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
}

/// Is a slow consumer, and prints by how many MiB it has grown at most.
pub async fn run(name: &str, bootstrap: &str, topic: &str) {
    let most = match name {
        "cqi-kafka" => ours::slow(bootstrap, topic).await,
        _ => tokio::task::block_in_place(|| theirs(bootstrap, topic)),
    };
    println!("{most}");
}

fn theirs(bootstrap: &str, topic: &str) -> f64 {
    let consumer: BaseConsumer = fetch::settings(bootstrap, "slow-rdkafka")
        .set("queued.max.messages.kbytes", (BUFFER >> 10).to_string())
        .create()
        .expect("a consumer");
    let mut growth = Growth::new();
    consumer.subscribe(&[topic]).expect("subscribed");
    while growth.goes_on() {
        drop(consumer.poll(NAP));
        std::thread::sleep(NAP);
    }
    growth.most
}

/// Watches the resident memory of this process for a time.
pub struct Growth {
    end: Instant,
    before: f64,
    most: f64,
}

impl Growth {
    pub fn new() -> Self {
        Self {
            end: Instant::now() + TIME,
            before: resident(),
            most: 0.0,
        }
    }

    pub fn goes_on(&mut self) -> bool {
        self.most = self.most.max(resident() - self.before);
        Instant::now() < self.end
    }

    pub fn most(&self) -> f64 {
        self.most
    }
}

/// Returns the resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("a size").parse::<f64>().expect("a number") / 1024.0
}
