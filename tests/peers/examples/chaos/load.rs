//! Numbered records at a steady rate from our producer, spread over the partitions, and which of them
//! were acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cqi_kafka::producer::{Delivery, Producer, ProducerSettings, Written};
use cqi_kafka::records::{BatchBuilder, BatchOptions, NewRecord, Pushed};
use cqi_kafka::{Client, ClientSettings, TopicPartition};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::journal::now;

const TICK: Duration = Duration::from_millis(10);
const CLOSE: Duration = Duration::from_secs(60);

/// An acknowledged record.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    pub at: Duration,
    pub value: u64,
    pub partition: i32,
    /// Not known where the broker only knows that the record is there.
    pub offset: Option<i64>,
}

/// What became of the records.
#[derive(Debug, Default)]
pub struct Outcome {
    pub acked: Vec<Acked>,
    /// Records that were not acknowledged, what is known of them, and why.
    pub failed: Vec<(u64, Written, String)>,
}

/// Writes until it is stopped.
#[derive(Debug)]
pub struct Load {
    acked: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    task: JoinHandle<Outcome>,
}

impl Load {
    pub fn start(bootstrap: &str, topic: &str, partitions: i32, rate: u32) -> Self {
        let (acked, ends) = (Arc::default(), Arc::default());
        let writer = Writer {
            acked: Arc::clone(&acked),
            ends: Arc::clone(&ends),
            partitions: (0..partitions)
                .map(|number| TopicPartition::new(topic, number))
                .collect(),
            outcome: Outcome::default(),
        };
        let task = tokio::spawn(writer.run(bootstrap.to_owned(), rate));
        Self { acked, ends, task }
    }

    /// Waits until so many records are acknowledged.
    pub async fn wait_for(&self, records: usize, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.acked.load(Ordering::Relaxed) < records && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops and returns what became of all records.
    pub async fn stop(self) -> Outcome {
        self.ends.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic")
    }
}

/// The numbers of a batch, its partition and its outcome.
type Done = (Vec<u64>, i32, cqi_errors::Result<Option<i64>>);

struct Writer {
    acked: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    partitions: Vec<TopicPartition>,
    outcome: Outcome,
}

impl Writer {
    async fn run(mut self, bootstrap: String, rate: u32) -> Outcome {
        let client = Client::connect(ClientSettings::new([bootstrap]))
            .await
            .expect("a client");
        let producer = Producer::start(&client, ProducerSettings::new()).expect("settings");
        let mut deliveries: JoinSet<Done> = JoinSet::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut written, mut due) = (0, 0);
        while !self.ends.load(Ordering::Relaxed) {
            tokio::select! {
                _ = ticks.tick() => {
                    due += u64::from(rate) * TICK.as_millis() as u64;
                    self.send(&producer, written..due / 1000, &mut deliveries).await;
                    written = due / 1000;
                }
                Some(done) = deliveries.join_next() => self.note(done.expect("no panic")),
            }
        }
        while let Some(done) = deliveries.join_next().await {
            self.note(done.expect("no panic"));
        }
        producer.close(CLOSE).await;
        self.outcome
    }

    /// Sends each number to its partition, in order.
    async fn send(
        &mut self,
        producer: &Producer,
        numbers: std::ops::Range<u64>,
        deliveries: &mut JoinSet<Done>,
    ) {
        let count = self.partitions.len() as u64;
        for partition in &self.partitions {
            let number = partition.partition();
            let own: Vec<u64> = numbers
                .clone()
                .filter(|n| n % count == number as u64)
                .collect();
            if own.is_empty() {
                continue;
            }
            match producer.send(partition, batch(&own)).await {
                Ok(delivery) => drop(deliveries.spawn(outcome(own, number, delivery))),
                Err(error) => drop(deliveries.spawn(async move { (own, number, Err(error)) })),
            }
        }
    }

    fn note(&mut self, (values, partition, result): Done) {
        match result {
            Ok(offset) => {
                self.acked.fetch_add(values.len(), Ordering::Relaxed);
                self.outcome
                    .acked
                    .extend(values.into_iter().zip(0..).map(|(value, n)| Acked {
                        at: now(),
                        value,
                        partition,
                        offset: offset.map(|first| first + n),
                    }));
            }
            Err(error) => {
                let (written, why) = (Written::of(&error), format!("{error:#}"));
                let failed = values
                    .into_iter()
                    .map(|value| (value, written, why.clone()));
                self.outcome.failed.extend(failed);
            }
        }
    }
}

async fn outcome(values: Vec<u64>, partition: i32, delivery: Delivery) -> Done {
    (
        values,
        partition,
        delivery.await.map(|delivered| delivered.offset),
    )
}

fn batch(values: &[u64]) -> BatchBuilder {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for value in values {
        let text = format!("{value:0100}");
        let record = NewRecord {
            value: Some(text.as_bytes()),
            ..NewRecord::at(time.as_millis() as i64)
        };
        assert!(matches!(batch.push(&record), Ok(Pushed::At(_))));
    }
    batch
}
