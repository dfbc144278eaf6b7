//! Fetching from real brokers.

mod bounds;
mod delivery;
mod moves;
mod scripted;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cqi_errors::Kind;
use cqi_testkit::Kafka;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;

use super::{FetchSettings, Fetcher, Records, StartPosition};
use crate::client::{Client, ClientSettings};
use crate::membership::Offset;
use crate::records::{BatchBuilder, BatchOptions, Compression, NewRecord, Producer, Record};
use crate::{TopicPartition, code};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// The longest that anything here is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

async fn client(kafka: &Kafka) -> Client {
    let settings = ClientSettings::new([kafka.bootstrap()]);
    Client::connect(settings).await.unwrap()
}

fn earliest() -> FetchSettings {
    FetchSettings {
        start: StartPosition::Earliest,
        ..FetchSettings::default()
    }
}

fn names(topic: &str, partitions: i32) -> BTreeSet<TopicPartition> {
    let topic: Arc<str> = topic.into();
    let name = |partition| TopicPartition::new(Arc::clone(&topic), partition);
    (0..partitions).map(name).collect()
}

/// Starts fetching these partitions from where the settings say.
fn fetch(
    client: &Client,
    settings: FetchSettings,
    partitions: &BTreeSet<TopicPartition>,
) -> Fetcher {
    let fetcher = Fetcher::start(client.clone(), settings);
    fetcher.assign(partitions);
    fetcher.position(
        partitions
            .iter()
            .cloned()
            .map(|name| (name, None))
            .collect(),
    );
    fetcher
}

fn at(offset: i64) -> Option<Offset> {
    let metadata = "".into();
    Some(Offset {
        offset,
        leader_epoch: None,
        metadata,
    })
}

async fn next(fetcher: &Fetcher) -> Records {
    let next = timeout(PATIENCE, fetcher.next()).await;
    next.expect("records within the time").unwrap()
}

/// Milliseconds since 1970: brokers delete what is older than a week.
#[expect(
    clippy::disallowed_methods,
    reason = "the broker compares with its own"
)]
fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap()
}

/// Encodes values as one batch.
fn batch(values: impl IntoIterator<Item = String>, compression: Compression) -> Bytes {
    let options = BatchOptions {
        compression,
        ..BatchOptions::default()
    };
    let mut batch = BatchBuilder::new(options);
    for value in values {
        let value = Some(value.as_bytes());
        let _ = batch
            .push(&NewRecord {
                value,
                ..NewRecord::at(now())
            })
            .unwrap();
    }
    batch.finish(Producer::NONE).unwrap().bytes().clone()
}

/// Has the leader append a batch, and returns its first offset.
async fn produce(client: &Client, to: &TopicPartition, records: Bytes) -> i64 {
    let partition = PartitionProduceData::default()
        .with_index(to.partition())
        .with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(to.topic().to_string())))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    let produce = async {
        let _interest = client.follow([Arc::clone(to.topic())].into());
        let mut cluster = client.cluster();
        loop {
            let leader = cluster.borrow_and_update().leader(to);
            if let Some(leader) = leader {
                let answer = client.ask_node(leader.node, &request, PATIENCE).await;
                let part = answer
                    .ok()
                    .map(|answer| answer.responses[0].partition_responses[0].clone());
                match part {
                    Some(part) if part.error_code == 0 => return part.base_offset,
                    Some(part) => assert!(code::is_retriable(part.error_code), "{part:?}"),
                    None => {}
                }
                client.refresh();
            }
            let _ = timeout(Duration::from_millis(100), cluster.changed()).await;
        }
    };
    timeout(PATIENCE, produce)
        .await
        .expect("the leader appends it")
}

/// The processor time that this process has used.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// What this process has in memory, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split_whitespace().nth(1).unwrap();
    pages.parse::<usize>().unwrap() * 4096
}

/// Whether this test has its process for itself, so that it may measure it; else it is run in one,
/// and has passed.
fn is_alone() -> bool {
    const ALONE: &str = "CQI_TEST_ALONE";
    if std::env::var_os("NEXTEST").is_some() || std::env::var_os(ALONE).is_some() {
        return true;
    }
    let thread = std::thread::current();
    let passed = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", thread.name().unwrap()])
        .env(ALONE, "1")
        .status();
    assert!(passed.unwrap().success());
    false
}
