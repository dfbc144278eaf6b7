//! Records per second, and what a record costs: each reads the whole topic as a new group.

use std::time::{Duration, Instant};

use cqi_testkit::Kafka;
use futures_util::future::try_join_all;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use rskafka::client::partition::UnknownTopicHandling;

use crate::broker::{self, Shape};
use crate::measure::{self, Meter, Round, cpu_time};
use crate::ours;

const ROUNDS: usize = 7;
const SILENCE: Duration = Duration::from_secs(30);
const NAMES: [&str; 4] = ["cqi-kafka", "rdkafka", "rdkafka, stream", "rskafka"];

const SHAPES: [Shape; 4] = [
    Shape::new(100, 1, 2_000_000),
    Shape::new(100, 12, 2_040_000),
    Shape::new(1024, 1, 500_000),
    Shape::new(1024, 12, 504_000),
];

pub async fn compare(kafka: &Kafka) {
    for shape in SHAPES {
        let topic = broker::preload(kafka, shape).await;
        let rounds = measure::interleave(NAMES.len(), ROUNDS, async |client| match client {
            0 => {
                // On a worker, as rskafka's tasks are.
                let (kafka, topic) = (kafka.clone(), topic.clone());
                let ours =
                    tokio::spawn(async move { ours::fetch(&kafka, &topic, shape.records).await });
                ours.await.expect("no panic")
            }
            1 => base(kafka, &topic, shape.records).await,
            2 => stream(kafka, &topic, shape.records).await,
            _ => partitions(kafka, &topic, shape).await,
        });
        measure::print(&format!("fetching {shape}"), &NAMES, &rounds.await, &[1, 3]);
        kafka.delete_topic(&topic).await.expect("deleted");
    }
}

/// Returns librdkafka's defaults, except for where a group begins.
pub fn settings(bootstrap: &str, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    settings
}

async fn base(kafka: &Kafka, topic: &str, records: usize) -> Round {
    let consumer: BaseConsumer = settings(&kafka.bootstrap(), &kafka.unique("rdkafka"))
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let mut meter = Meter::new(records);
    tokio::task::block_in_place(|| {
        let deadline = Instant::now() + SILENCE;
        while !meter.is_done() {
            match consumer.poll(SILENCE) {
                Some(Ok(record)) => meter.see(record.key(), record.payload()),
                Some(Err(error)) => panic!("{error}"),
                // An event of the group, or nothing in time.
                None => assert!(Instant::now() < deadline, "no record in time"),
            }
        }
    });
    meter.finish()
}

async fn stream(kafka: &Kafka, topic: &str, records: usize) -> Round {
    let consumer: StreamConsumer = settings(&kafka.bootstrap(), &kafka.unique("rdkafka"))
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let mut meter = Meter::new(records);
    while !meter.is_done() {
        let record = consumer.recv().await.expect("no error");
        meter.see(record.key(), record.payload());
    }
    meter.finish()
}

/// Reads all partitions at once, a task each.
async fn partitions(kafka: &Kafka, topic: &str, shape: Shape) -> Round {
    let client = broker::connect(kafka).await;
    let each = shape.records / shape.partitions as usize;
    let mut clients = Vec::new();
    for partition in 0..shape.partitions {
        let client = client.partition_client(topic, partition, UnknownTopicHandling::Retry);
        clients.push(client.await.expect("a partition"));
    }
    let (started, cpu) = (Instant::now(), cpu_time());
    let tasks = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            let mut meter = Meter::new(each);
            let mut next = 0;
            while !meter.is_done() {
                let records = client.fetch_records(next, 1..4 << 20, 500).await;
                for record in records.expect("records").0 {
                    meter.see(record.record.key.as_deref(), record.record.value.as_deref());
                    next = record.offset + 1;
                }
            }
            meter.finish();
        })
    });
    try_join_all(tasks).await.expect("no panic");
    Round::of(shape.records, started.elapsed(), cpu_time() - cpu)
}
