//! Producing to real brokers, and to scripted ones.

mod cluster;
mod faults;
mod plain;
mod scripted;
mod sequencer;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use cqi_errors::Kind;
use cqi_kafka::producer::{Delivery, Producer, ProducerSettings, Written};
use cqi_kafka::records::{
    BatchBuilder, BatchOptions, Compression, Decompressor, FetchedRecords, NewRecord,
};
use cqi_kafka::{
    Client, ClientSettings, Event, GroupConsumer, GroupSettings, OffsetSpec, StartPosition,
    TopicPartition,
};
use cqi_testkit::scripted::{Api, Reply, ScriptedKafka};
use cqi_testkit::{Kafka, Listener};
use futures_util::StreamExt;

/// Longer than anything here takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);

async fn connect(bootstrap: String) -> Client {
    let mut settings = ClientSettings::new([bootstrap]);
    settings.request_timeout = Duration::from_secs(5);
    settings.reconnect_backoff = Duration::from_millis(10);
    settings.reconnect_backoff_max = Duration::from_millis(100);
    Client::connect(settings).await.unwrap()
}

/// Brokers forget producers whose records are old.
#[allow(
    clippy::disallowed_methods,
    reason = "brokers compare it with their clocks"
)]
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_millis() as i64
}

fn batch_with<V: AsRef<[u8]>>(
    options: BatchOptions,
    values: impl IntoIterator<Item = V>,
) -> BatchBuilder {
    let mut batch = BatchBuilder::new(options);
    for value in values {
        let record = NewRecord {
            value: Some(value.as_ref()),
            ..NewRecord::at(now())
        };
        let _ = batch.push(&record).unwrap();
    }
    batch
}

fn batch<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> BatchBuilder {
    batch_with(BatchOptions::default(), values)
}

/// A batch of the numbers in a range.
fn numbers(range: std::ops::Range<u64>) -> BatchBuilder {
    batch(range.map(|n| n.to_string()))
}

async fn send(producer: &Producer, partition: &TopicPartition, batch: BatchBuilder) -> Delivery {
    producer.send(partition, batch).await.unwrap()
}

/// What a topic holds, by partition and in order.
async fn read(bootstrap: String, topic: &str) -> BTreeMap<i32, Vec<String>> {
    let client = connect(bootstrap).await;
    let count = client.partitions(topic).await.unwrap();
    let partitions = (0..count).map(|n| TopicPartition::new(topic, n));
    let isolation = cqi_kafka::Isolation::ReadCommitted;
    let ends = client
        .offsets(partitions, OffsetSpec::Latest, isolation)
        .await;
    let ends = ends.unwrap().into_iter();
    let mut ends: BTreeMap<_, _> = ends
        .map(|(partition, end)| (partition, end.unwrap().offset))
        .filter(|(_, end)| *end > 0)
        .collect();
    let mut settings = GroupSettings::new(format!("reader-{topic}-{}", fastrand::u64(..)));
    settings.fetch.start = StartPosition::Earliest;
    let mut consumer = GroupConsumer::join(&client, settings, [topic]).unwrap();
    let mut read: BTreeMap<i32, Vec<String>> = (0..count).map(|n| (n, Vec::new())).collect();
    while !ends.is_empty() {
        if let Some(Event::Records(records)) = consumer.poll(PATIENCE).await.unwrap() {
            let (partition, next) = records.next_offset();
            let values = read.entry(partition.partition()).or_default();
            for record in &*records {
                values.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
            }
            if ends.get(&partition).is_some_and(|end| next.offset >= *end) {
                ends.remove(&partition);
            }
        }
    }
    consumer.close().await.unwrap();
    client.close().await;
    read
}

/// Waits for what comes soon.
async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.unwrap();
}

/// Settings for tests in which something goes wrong.
fn hasty() -> ProducerSettings {
    let mut settings = ProducerSettings::default();
    settings.request_timeout = Duration::from_secs(2);
    settings.max_block = Duration::from_secs(20);
    settings.retry_backoff = Duration::from_millis(20);
    settings.retry_backoff_max = Duration::from_millis(200);
    settings
}

/// The numbers of a range, as they are read back.
fn expected(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}
