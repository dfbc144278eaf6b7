//! End to end at 1,000 records per second: from the call that sends to the call that receives.

use std::thread;
use std::time::{Duration, Instant};

use cqi_testkit::Kafka;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};

use crate::broker;
use crate::fetch::settings;
use crate::measure::{self, median, percentile};
use crate::ours;

const ROUNDS: usize = 7;
/// The first second warms up.
pub const WARM: usize = 1000;
pub const RECORDS: usize = WARM + 5000;
pub const SIZE: usize = 100;
const EVERY: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(30);
const NAMES: [&str; 2] = ["cqi-kafka", "rdkafka, linger 0"];

/// What one round shows, in milliseconds.
#[derive(Clone, Copy)]
pub struct Latency {
    p50: f64,
    p99: f64,
}

impl Latency {
    pub fn of(times: &[f64]) -> Self {
        let times = || times[WARM..].iter().copied();
        Self {
            p50: percentile(times(), 50),
            p99: percentile(times(), 99),
        }
    }
}

pub async fn compare(kafka: &Kafka) {
    let topic = kafka.topic("latency", 1).await.expect("a topic");
    let rounds = measure::interleave(NAMES.len(), ROUNDS, async |client| match client {
        0 => {
            // On a worker, as in a service.
            let (kafka, topic) = (kafka.clone(), topic.clone());
            let ours = tokio::spawn(async move { ours::latency(&kafka, &topic).await });
            ours.await.expect("no panic")
        }
        _ => tokio::task::block_in_place(|| theirs(kafka, &topic)),
    });
    let rounds = rounds.await;
    println!("\nend to end at 1,000 records/s of {SIZE} B; medians of {ROUNDS} rounds\n");
    println!("| clients | p50 | range | of rdkafka | p99 | range |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (name, own) in NAMES.iter().zip(&rounds) {
        let ratio = median(own.iter().zip(&rounds[1]).map(|(a, b)| a.p50 / b.p50));
        let p50 = || own.iter().map(|round| round.p50);
        let p99 = || own.iter().map(|round| round.p99);
        println!(
            "| {name} | {:.2} ms | {:.2}-{:.2} | {ratio:.2}x | {:.1} ms | {:.1}-{:.1} |",
            median(p50()),
            percentile(p50(), 0),
            percentile(p50(), 100),
            median(p99()),
            percentile(p99(), 0),
            percentile(p99(), 100),
        );
    }
}

/// Calls `send` with a value every millisecond, from a thread of its own; a value begins with its
/// time of birth.
pub fn pace(
    mut send: impl FnMut(&[u8]) + Send + 'static,
    epoch: Instant,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let started = Instant::now();
        let mut value = broker::value(SIZE, 0);
        for number in 0..RECORDS {
            let due = started + EVERY * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let born = epoch.elapsed().as_nanos() as u64;
            value[..8].copy_from_slice(&born.to_be_bytes());
            send(&value);
        }
    })
}

/// Returns the age of a value of [`pace`] in milliseconds.
pub fn age(value: &[u8], epoch: Instant) -> f64 {
    let born = u64::from_be_bytes(value[..8].try_into().expect("eight bytes"));
    (epoch.elapsed() - Duration::from_nanos(born)).as_secs_f64() * 1e3
}

fn theirs(kafka: &Kafka, topic: &str) -> Latency {
    let consumer: BaseConsumer = settings(&kafka.bootstrap(), &kafka.unique("rdkafka"))
        .set("auto.offset.reset", "latest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("acks", "all")
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    // Records reach a group that begins with the latest only once it has begun.
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "no record within {LIMIT:?}");
        let record = BaseRecord::<(), str>::to(topic)
            .partition(0)
            .payload("hello");
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("sent");
        if consumer.poll(Duration::from_millis(100)).is_some() {
            break;
        }
    }
    let epoch = Instant::now();
    let topic = topic.to_owned();
    let sender = pace(
        move |value| {
            let record = BaseRecord::<(), [u8]>::to(&topic)
                .partition(0)
                .payload(value);
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("sent");
        },
        epoch,
    );
    let mut times = Vec::with_capacity(RECORDS);
    while times.len() < RECORDS {
        let record = consumer
            .poll(LIMIT)
            .expect("a record in time")
            .expect("no error");
        let value = record.payload().expect("a value");
        if value.len() == SIZE {
            times.push(age(value, epoch));
        }
    }
    sender.join().expect("no panic");
    Latency::of(&times)
}
