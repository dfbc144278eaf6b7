//! A member of librdkafka's.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::{ENDS, HEARTBEAT, MAX_POLL, Place, SESSION};
use crate::journal::Journal;

struct Member {
    journal: Journal,
    topic: String,
    /// The next offsets of what is handled and not committed.
    handled: Mutex<BTreeMap<i32, i64>>,
}

pub fn run(place: &Place) {
    let member = Member {
        journal: Journal::of_stdout(),
        topic: place.topic.clone(),
        handled: Mutex::default(),
    };
    let consumer: BaseConsumer<Member> = ClientConfig::new()
        .set("bootstrap.servers", &place.bootstrap)
        .set("group.id", &place.group)
        .set("partition.assignment.strategy", &place.assignor)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", SESSION.as_millis().to_string())
        .set("heartbeat.interval.ms", HEARTBEAT.as_millis().to_string())
        .set("max.poll.interval.ms", MAX_POLL.as_millis().to_string())
        .create_with_context(member)
        .expect("a consumer");
    consumer.subscribe(&[&place.topic]).expect("subscribed");
    while !ENDS.load(Ordering::Relaxed) {
        handle(&consumer, Duration::from_millis(200));
        consumer.context().commit(&consumer);
    }
    consumer.unsubscribe();
    let deadline = Instant::now() + Duration::from_secs(3);
    while consumer.assignment().is_ok_and(|owned| owned.count() > 0) && Instant::now() < deadline {
        handle(&consumer, Duration::from_millis(50));
    }
}

/// Handles what has come.
fn handle(consumer: &BaseConsumer<Member>, wait: Duration) {
    let Member {
        journal, handled, ..
    } = &**consumer.context();
    let mut wait = wait;
    for _ in 0..500 {
        let Some(record) = consumer.poll(wait) else {
            return;
        };
        wait = Duration::ZERO;
        match record {
            Ok(record) => {
                let value = record.payload().expect("a value");
                journal.handled(record.partition(), record.offset(), value);
                handled
                    .lock()
                    .expect("no panic")
                    .insert(record.partition(), record.offset() + 1);
            }
            Err(error) => journal.failed("poll", error),
        }
    }
}

impl Member {
    fn commit(&self, consumer: &BaseConsumer<Self>) {
        let handled = std::mem::take(&mut *self.handled.lock().expect("no panic"));
        if handled.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in handled {
            offsets
                .add_partition_offset(&self.topic, partition, Offset::Offset(next))
                .expect("an offset");
        }
        if let Err(error) = consumer.commit(&offsets, CommitMode::Sync) {
            self.journal.failed("commit", error);
        }
    }
}

impl rdkafka::ClientContext for Member {}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let numbers = |list: &TopicPartitionList| -> Vec<i32> {
            list.elements()
                .iter()
                .map(|element| element.partition())
                .collect()
        };
        match rebalance {
            Rebalance::Assign(list) => self.journal.assigned(numbers(list)),
            Rebalance::Revoke(list) if consumer.assignment_lost() => {
                self.handled.lock().expect("no panic").clear();
                self.journal.lost(numbers(list));
            }
            Rebalance::Revoke(list) => {
                self.commit(consumer);
                self.journal.revoked(numbers(list));
            }
            Rebalance::Error(error) => self.journal.failed("rebalance", error),
        }
    }
}
