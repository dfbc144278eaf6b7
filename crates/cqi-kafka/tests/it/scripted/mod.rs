//! Every API through every error code, and through every way to answer wrongly.
//!
//! What comes of each code is written down beside the test: it is what callers may rely on.

mod clients;
mod faults;
mod members;
mod producers;
mod walk;

use std::time::Duration;

use cqi_kafka::records::{BatchBuilder, BatchOptions, NewRecord, Producer as Numbers};
use cqi_kafka::{
    Client, ClientSettings, GroupConsumer, GroupSettings, StartPosition, TopicPartition,
};
use cqi_testkit::scripted::{Api, Reply, ScriptedKafka, ScriptedKafkaBuilder};

/// The shortest and the longest pause before something is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));

/// How long something is watched that goes on for ever.
const WATCH: Duration = Duration::from_millis(400);

/// The most requests to one API in that time: a pause each, and as many again for those of the start.
const MOST: u64 = 40;

/// How long an answer may take that comes: on a machine that is busy with other tests.
const ANSWER: Duration = Duration::from_secs(10);

fn brokers() -> ScriptedKafkaBuilder {
    ScriptedKafka::builder().topic("orders", 1)
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn batch() -> BatchBuilder {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    let record = NewRecord {
        value: Some(b"one"),
        ..NewRecord::at(1_795_000_000_000)
    };
    let _ = batch.push(&record).unwrap();
    batch
}

/// Adds a record.
fn append(kafka: &ScriptedKafka) {
    let batch = batch().finish(Numbers::NONE).unwrap();
    kafka.append("orders", 0, batch.bytes()).unwrap();
}

fn client_settings(kafka: &ScriptedKafka) -> ClientSettings {
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    settings.connection.connect_timeout = ANSWER;
    settings.request_timeout = Duration::from_secs(2);
    (settings.retry_backoff, settings.retry_backoff_max) = PAUSES;
    (settings.reconnect_backoff, settings.reconnect_backoff_max) = PAUSES;
    settings
}

async fn connect(kafka: &ScriptedKafka) -> Client {
    Client::connect(client_settings(kafka)).await.unwrap()
}

fn group_settings() -> GroupSettings {
    let mut settings = GroupSettings::new("desk");
    settings.member.session_timeout = Duration::from_secs(2);
    settings.member.heartbeat_interval = Duration::from_millis(30);
    settings.member.max_poll_interval = Duration::from_secs(10);
    settings.member.request_timeout = ANSWER;
    (settings.member.backoff, settings.member.max_backoff) = PAUSES;
    settings.commit_timeout = Duration::from_secs(2);
    settings.close_timeout = Duration::from_secs(2);
    settings.fetch.start = StartPosition::Earliest;
    settings.fetch.max_wait = Duration::from_millis(100);
    settings
}

fn join(client: &Client, settings: GroupSettings) -> GroupConsumer {
    GroupConsumer::join(client, settings, ["orders"]).unwrap()
}

/// Where an error code is put.
#[derive(Clone, Copy)]
enum Place {
    Answer,
    Item,
}

impl Place {
    fn reply(self, code: i16) -> Reply {
        match self {
            Self::Answer => Reply::Error(code),
            Self::Item => Reply::ItemError(code),
        }
    }
}
