//! CQI's side of each comparison.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cqi_kafka::producer::{Delivery, Producer, ProducerSettings};
use cqi_kafka::records::{BatchBuilder, BatchOptions, NewRecord, Pushed};
use cqi_kafka::{
    Client, ClientSettings, Event, GroupConsumer, GroupSettings, StartPosition, TopicPartition,
};
use cqi_testkit::Kafka;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use crate::broker::{self, BATCH, Shape};
use crate::latency::{self, Latency, RECORDS, SIZE};
use crate::measure::{Meter, Round, cpu_time};
use crate::memory::{Growth, NAP};
use crate::produce::IN_FLIGHT;

const SILENCE: Duration = Duration::from_secs(30);

async fn connect(bootstrap: &str) -> Client {
    let settings = ClientSettings::new([bootstrap]);
    Client::connect(settings).await.expect("a client")
}

fn join(client: &Client, group: String, topic: &str, start: StartPosition) -> GroupConsumer {
    let mut settings = GroupSettings::new(group);
    settings.fetch.start = start;
    GroupConsumer::join(client, settings, [topic]).expect("settings")
}

pub async fn fetch(kafka: &Kafka, topic: &str, records: usize) -> Round {
    let client = connect(&kafka.bootstrap()).await;
    let mut consumer = join(&client, kafka.unique("cqi"), topic, StartPosition::Earliest);
    let mut meter = Meter::new(records);
    while !meter.is_done() {
        let event = consumer.poll(SILENCE).await.expect("no error");
        if let Event::Records(records) = event.expect("records in time") {
            for record in &records {
                meter.see(record.key(), record.value());
            }
        }
    }
    let round = meter.finish();
    consumer.close().await.expect("closed");
    round
}

/// Has its batches made here and sent by the producer's tasks; waits for the oldest of a few dozen.
pub async fn produce(kafka: &Kafka, topic: &str, shape: Shape) -> Round {
    let client = connect(&kafka.bootstrap()).await;
    let producer = Producer::start(&client, ProducerSettings::new()).expect("settings");
    let partitions: Vec<_> = (0..shape.partitions)
        .map(|n| TopicPartition::new(topic, n))
        .collect();
    let time = broker::now();
    let mut deliveries = VecDeque::new();
    for partition in &partitions {
        let delivery = send(&producer, partition, [b"hello".to_vec()]).await;
        delivery.await.expect("written");
    }
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for (number, partition) in shape.records() {
        let (key, value) = (broker::key(number), broker::value(shape.size, number));
        let record = NewRecord {
            key: Some(&key),
            value: Some(&value),
            ..NewRecord::at(time)
        };
        if batch.push(&record).expect("a record") == Pushed::Full {
            panic!("a batch of {BATCH} records fits");
        }
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, BatchBuilder::new(BatchOptions::default()));
            let delivery = producer.send(&partitions[partition as usize], full).await;
            deliveries.push_back(delivery.expect("taken"));
        }
        if deliveries.len() > IN_FLIGHT * 4 {
            deliveries.pop_front().expect("one").await.expect("written");
        }
    }
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    let round = Round::of(shape.records, started.elapsed(), cpu_time() - cpu);
    producer.close(SILENCE).await;
    round
}

pub async fn latency(kafka: &Kafka, topic: &str) -> Latency {
    let client = connect(&kafka.bootstrap()).await;
    let mut consumer = join(&client, kafka.unique("cqi"), topic, StartPosition::Latest);
    let producer = Producer::start(&client, ProducerSettings::new()).expect("settings");
    let partition = TopicPartition::new(topic, 0);
    // Records reach a group that begins with the latest only once it has begun.
    let deadline = Instant::now() + SILENCE;
    loop {
        assert!(Instant::now() < deadline, "no record within {SILENCE:?}");
        send(&producer, &partition, [b"hello".to_vec()])
            .await
            .await
            .expect("written");
        let event = consumer
            .poll(Duration::from_millis(100))
            .await
            .expect("no error");
        if matches!(event, Some(Event::Records(_))) {
            break;
        }
    }
    let epoch = Instant::now();
    let mut sender = Sender::new(producer, partition);
    let sender = latency::pace(move |value| sender.send(value), epoch);
    let mut times = Vec::with_capacity(RECORDS);
    while times.len() < RECORDS {
        let event = consumer.poll(SILENCE).await.expect("no error");
        if let Event::Records(records) =
            event.unwrap_or_else(|| panic!("{} of {RECORDS} records came", times.len()))
        {
            let values = records.iter().filter_map(|record| record.value());
            let values = values.filter(|value| value.len() == SIZE);
            times.extend(values.map(|value| latency::age(value, epoch)));
        }
    }
    tokio::task::block_in_place(|| sender.join()).expect("no panic");
    consumer.close().await.expect("closed");
    Latency::of(&times)
}

/// Returns by how many MiB this process has grown at most.
pub async fn slow(bootstrap: &str, topic: &str) -> f64 {
    let client = connect(bootstrap).await;
    let mut growth = Growth::new();
    let group = "slow-cqi".to_owned();
    let mut consumer = join(&client, group, topic, StartPosition::Earliest);
    while growth.goes_on() {
        consumer.poll(NAP).await.expect("no error");
        tokio::time::sleep(NAP).await;
    }
    consumer.close().await.expect("closed");
    growth.most()
}

/// Sends each value at once; those that come while all places in flight are taken go together.
struct Sender {
    producer: Producer,
    partition: TopicPartition,
    runtime: Handle,
    in_flight: VecDeque<Delivery>,
    waiting: Vec<Vec<u8>>,
    left: usize,
}

impl Sender {
    fn new(producer: Producer, partition: TopicPartition) -> Self {
        Self {
            producer,
            partition,
            runtime: Handle::current(),
            in_flight: VecDeque::new(),
            waiting: Vec::new(),
            left: RECORDS,
        }
    }

    fn send(&mut self, value: &[u8]) {
        self.waiting.push(value.to_vec());
        self.left -= 1;
        while let Some(delivery) = self.in_flight.front_mut()
            && let Some(outcome) = delivery.now_or_never()
        {
            outcome.expect("written");
            self.in_flight.pop_front();
        }
        if self.in_flight.len() == IN_FLIGHT && self.left > 0 {
            return;
        }
        let values = self.waiting.drain(..);
        let delivery = send(&self.producer, &self.partition, values);
        self.in_flight.push_back(self.runtime.block_on(delivery));
        if self.left == 0 {
            for delivery in self.in_flight.drain(..) {
                self.runtime.block_on(delivery).expect("written");
            }
            self.runtime.block_on(self.producer.close(SILENCE));
        }
    }
}

async fn send(
    producer: &Producer,
    partition: &TopicPartition,
    values: impl IntoIterator<Item = Vec<u8>>,
) -> Delivery {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for value in values {
        let record = NewRecord {
            value: Some(&value),
            ..NewRecord::at(broker::now())
        };
        assert!(matches!(batch.push(&record), Ok(Pushed::At(_))));
    }
    producer.send(partition, batch).await.expect("taken")
}
