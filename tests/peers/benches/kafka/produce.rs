//! Records per second in batches of 1,000, all replicas acknowledging, five requests in flight.
//!
//! Each client first writes to each partition: connections, leaders and producer ids are not measured.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cqi_testkit::Kafka;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use tokio::task::JoinHandle;

use crate::broker::{self, BATCH, Shape};
use crate::measure::{self, Round, cpu_time};
use crate::ours;

const ROUNDS: usize = 5;
pub const IN_FLIGHT: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);
const NAMES: [&str; 4] = ["cqi-kafka", "rdkafka, idempotent", "rdkafka", "rskafka"];

const SHAPES: [Shape; 4] = [
    Shape::new(100, 1, 1_000_000),
    Shape::new(100, 12, 1_008_000),
    Shape::new(1024, 1, 200_000),
    Shape::new(1024, 12, 204_000),
];

pub async fn compare(kafka: &Kafka) {
    for shape in SHAPES {
        let rounds = measure::interleave(NAMES.len(), ROUNDS, async |client| {
            let topic = kafka
                .topic("produce", shape.partitions)
                .await
                .expect("a topic");
            let round = match client {
                0 => ours::produce(kafka, &topic, shape).await,
                1 => batches(kafka, &topic, shape, true),
                2 => batches(kafka, &topic, shape, false),
                _ => partitions(kafka, &topic, shape).await,
            };
            kafka.delete_topic(&topic).await.expect("deleted");
            round
        });
        let title = format!("producing {shape}, batches of {BATCH}");
        measure::print(&title, &NAMES, &rounds.await, &[1, 2, 3]);
    }
}

/// Fails where a record was not written.
struct Written;

impl rdkafka::ClientContext for Written {}

impl ProducerContext for Written {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        result.as_ref().expect("written");
    }
}

fn batches(kafka: &Kafka, topic: &str, shape: Shape, idempotent: bool) -> Round {
    let producer: BaseProducer<Written> = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("enable.idempotence", idempotent.to_string())
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("batch.num.messages", BATCH.to_string())
        .set("batch.size", "2000000")
        .set("message.max.bytes", "2000000")
        .set(
            "max.in.flight.requests.per.connection",
            IN_FLIGHT.to_string(),
        )
        .create_with_context(Written)
        .expect("a producer");
    tokio::task::block_in_place(|| {
        for partition in 0..shape.partitions {
            let record = BaseRecord::<(), _>::to(topic)
                .partition(partition)
                .payload("hello");
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("sent");
        }
        producer.flush(LIMIT).expect("flushed");
        let (started, cpu) = (Instant::now(), cpu_time());
        for (number, partition) in shape.records() {
            let (key, value) = (broker::key(number), broker::value(shape.size, number));
            let mut record = BaseRecord::to(topic)
                .partition(partition)
                .key(&key)
                .payload(&value);
            while let Err((error, back)) = producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert_eq!(error, full);
                producer.poll(Duration::from_millis(1));
                record = back;
            }
            if number % BATCH == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(LIMIT).expect("flushed");
        Round::of(shape.records, started.elapsed(), cpu_time() - cpu)
    })
}

async fn partitions(kafka: &Kafka, topic: &str, shape: Shape) -> Round {
    let client = broker::connect(kafka).await;
    let mut clients = Vec::new();
    for partition in 0..shape.partitions {
        let client = client.partition_client(topic, partition, UnknownTopicHandling::Retry);
        clients.push(Arc::new(client.await.expect("a partition")));
    }
    let mut in_flight: VecDeque<JoinHandle<()>> = VecDeque::new();
    for client in &clients {
        batch(Arc::clone(client), shape.size, 0).await;
    }
    let (started, cpu) = (Instant::now(), cpu_time());
    for number in 0..shape.records / BATCH {
        if in_flight.len() == IN_FLIGHT {
            in_flight.pop_front().expect("one").await.expect("no panic");
        }
        let client = Arc::clone(&clients[number % clients.len()]);
        in_flight.push_back(tokio::spawn(batch(client, shape.size, number * BATCH)));
    }
    for batch in in_flight {
        batch.await.expect("no panic");
    }
    Round::of(shape.records, started.elapsed(), cpu_time() - cpu)
}

async fn batch(client: Arc<PartitionClient>, size: usize, first: usize) {
    let records = (first..first + BATCH)
        .map(|number| broker::record(size, number))
        .collect();
    let written = client.produce(records, Compression::NoCompression).await;
    written.expect("written");
}
