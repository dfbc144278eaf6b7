//! The broker that all use, and what is in it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use cqi_testkit::Kafka;
use futures_util::future::join_all;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;

/// Records of one request when a topic is filled.
pub const BATCH: usize = 1000;

/// Records of one size in so many partitions.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of a value.
    pub size: usize,
    pub partitions: i32,
    pub records: usize,
}

impl Shape {
    /// The records divide into equal batches for each partition.
    pub const fn new(size: usize, partitions: i32, records: usize) -> Self {
        Self {
            size,
            partitions,
            records,
        }
    }

    /// Returns numbers and partitions: batch after batch, the partitions in turn.
    pub fn records(self) -> impl Iterator<Item = (usize, i32)> {
        let partition = move |number| (number / BATCH % self.partitions as usize) as i32;
        (0..self.records).map(move |number| (number, partition(number)))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.partitions == 1 { "" } else { "s" };
        write!(f, "{} B, {} partition{plural}", self.size, self.partitions)
    }
}

pub async fn start() -> Kafka {
    let brokers = Kafka::builder()
        .version("3.9.2")
        .java_options(["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"])
        // What a round has written is gone before the next ones fill the disk.
        .setting("log.segment.delete.delay.ms", "1000");
    brokers.start().await.expect("a broker")
}

/// A value that begins with a number.
pub fn value(size: usize, number: usize) -> Vec<u8> {
    let mut value: Vec<u8> = (0..size).map(|n| b"price 1.0842 "[n % 13]).collect();
    value[..8].copy_from_slice(format!("{number:08}").as_bytes());
    value
}

pub fn key(number: usize) -> Vec<u8> {
    format!("{:04}", number % 10_000).into_bytes()
}

/// Makes a topic with equally many records in each partition.
pub async fn preload(kafka: &Kafka, shape: Shape) -> String {
    let topic = kafka
        .topic("fetch", shape.partitions)
        .await
        .expect("a topic");
    let client = connect(kafka).await;
    let each = shape.records / shape.partitions as usize;
    let fills =
        (0..shape.partitions).map(|partition| fill(&client, &topic, partition, each, shape.size));
    join_all(fills).await;
    topic
}

async fn fill(client: &Client, topic: &str, partition: i32, count: usize, size: usize) {
    let partition = client
        .partition_client(topic, partition, UnknownTopicHandling::Retry)
        .await
        .expect("a partition");
    let mut number = 0;
    while number < count {
        let batch: Vec<_> = (number..count)
            .take(BATCH)
            .map(|number| record(size, number))
            .collect();
        number += batch.len();
        let compression = Compression::NoCompression;
        partition
            .produce(batch, compression)
            .await
            .expect("written");
    }
}

pub fn record(size: usize, number: usize) -> Record {
    Record {
        key: Some(key(number)),
        value: Some(value(size, number)),
        headers: Default::default(),
        timestamp: chrono::DateTime::from_timestamp_millis(now()).expect("a time"),
    }
}

/// Returns the time in milliseconds since 1970.
pub fn now() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.expect("after 1970").as_millis() as i64
}

pub async fn connect(kafka: &Kafka) -> Client {
    let brokers = kafka.bootstrap().split(',').map(str::to_owned).collect();
    ClientBuilder::new(brokers).build().await.expect("a client")
}
