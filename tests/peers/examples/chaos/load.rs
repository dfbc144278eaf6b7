//! Numbered records at a steady rate, spread over the partitions, and which of them were acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::journal::now;

/// An acknowledged record.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    pub at: Duration,
    pub value: u64,
    pub partition: i32,
    pub offset: i64,
}

use rdkafka::config::ClientConfig;
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};

/// Writes until it is stopped.
pub struct Load {
    acked: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Written>>,
}

/// What became of the records.
#[derive(Debug, Default)]
pub struct Written {
    pub acked: Vec<Acked>,
    /// Records that may or may not be there, and why.
    pub failed: Vec<(u64, String)>,
}

const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Default)]
struct Context(Arc<Mutex<Written>>, Arc<AtomicU64>);

impl rdkafka::ClientContext for Context {}
impl ProducerContext for Context {
    type DeliveryOpaque = Box<u64>;
    fn delivery(&self, result: &DeliveryResult<'_>, value: Box<u64>) {
        let mut written = self.0.lock().expect("no panic");
        match result {
            Ok(record) => {
                let (at, partition, offset) = (now(), record.partition(), record.offset());
                self.1.fetch_add(1, Ordering::Relaxed);
                written.acked.push(Acked {
                    at,
                    value: *value,
                    partition,
                    offset,
                });
            }
            Err((error, _)) => written.failed.push((*value, error.to_string())),
        }
    }
}

impl Load {
    pub fn start(bootstrap: &str, topic: &str, partitions: i32, rate: u32) -> Self {
        let context = Context::default();
        let producer: ThreadedProducer<Context> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create_with_context(context.clone())
            .expect("a producer");
        let acked = Arc::clone(&context.1);
        let ends = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ends);
        let topic = topic.to_owned();
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let mut value = 0;
            for tick in 1.. {
                let due = u64::from(rate) * tick * TICK.as_millis() as u64 / 1000;
                for value in value..due {
                    let text = format!("{value:0100}");
                    let record = BaseRecord::<(), str, _>::with_opaque_to(&topic, Box::new(value));
                    let record = record
                        .partition((value % partitions as u64) as i32)
                        .payload(&text);
                    if let Err((error, _)) = producer.send(record) {
                        panic!("{error}");
                    }
                }
                value = due;
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(
                    (started + TICK * tick as u32).saturating_duration_since(Instant::now()),
                );
            }
            producer.flush(Duration::from_secs(60)).expect("flushed");
            std::mem::take(&mut *context.0.lock().expect("no panic"))
        });
        Self {
            acked,
            ends,
            thread: Some(thread),
        }
    }

    /// Waits until so many records are acknowledged.
    pub async fn wait_for(&self, records: usize, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.acked.load(Ordering::Relaxed) < records as u64 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops and returns what became of all records.
    pub fn stop(&mut self) -> Written {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("no panic")
    }
}
