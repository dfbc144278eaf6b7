//! A member of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use cqi_errors::Result;
use cqi_kafka::assignor::Assignor;
use cqi_kafka::membership::Offset;
use cqi_kafka::{
    Client, ClientSettings, Event, GroupConsumer, GroupHandle, GroupSettings, StartPosition,
    TopicPartition,
};
use futures_util::future::{BoxFuture, FutureExt as _, pending};

use super::{ENDS, HEARTBEAT, MAX_POLL, Place, SESSION};
use crate::journal::Journal;

const COMMIT: Duration = Duration::from_secs(3);
/// After a refused commit.
const PAUSE: Duration = Duration::from_millis(100);

pub fn run(place: &Place) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(consume(place));
}

async fn consume(place: &Place) {
    let journal = Journal::of_stdout();
    let client = loop {
        match Client::connect(ClientSettings::new([&place.bootstrap])).await {
            Ok(client) => break client,
            Err(error) => journal.failed("connect", error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut settings = GroupSettings::new(place.group.as_str());
    settings.member.assignors = vec![Assignor::from_name(&place.assignor).expect("known")];
    settings.member.session_timeout = SESSION;
    settings.member.heartbeat_interval = HEARTBEAT;
    settings.member.max_poll_interval = MAX_POLL;
    settings.fetch.start = StartPosition::Earliest;
    settings.commit_timeout = COMMIT;
    let mut consumer =
        GroupConsumer::join(&client, settings, [place.topic.as_str()]).expect("settings");
    let mut member = Member {
        journal,
        handle: consumer.handle(),
        handled: BTreeMap::new(),
        commit: None,
    };
    while !ENDS.load(Ordering::Relaxed) {
        tokio::select! {
            biased;
            outcome = done(&mut member.commit) => drop(member.committed(outcome)),
            event = consumer.poll(Duration::from_millis(200)) => match event {
                Ok(Some(event)) => member.on(event).await,
                Ok(None) => {}
                Err(error) => {
                    member.journal.failed("poll", error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
        member.begin();
    }
    member.finish().await;
    member.journal.revoked(numbers(&consumer.status().owned));
    if let Err(error) = consumer.close().await {
        member.journal.failed("close", error);
    }
}

type Outcome = (Result<()>, BTreeMap<TopicPartition, Offset>);
type Commit = BoxFuture<'static, Outcome>;

struct Member {
    journal: Journal,
    handle: GroupHandle,
    /// What is not yet committed.
    handled: BTreeMap<TopicPartition, Offset>,
    /// One at a time, while records are handled.
    commit: Option<Commit>,
}

impl Member {
    async fn on(&mut self, event: Event) {
        match event {
            Event::Records(records) => {
                let (partition, next) = records.next_offset();
                for record in &records {
                    let value = record.value().expect("a value");
                    self.journal
                        .handled(partition.partition(), record.offset(), value);
                }
                self.handled.insert(partition, next);
            }
            Event::Assigned(partitions) => self.journal.assigned(numbers(&partitions)),
            Event::Revoked(revocation) => {
                self.finish().await;
                self.forget(revocation.partitions());
                self.journal.revoked(numbers(revocation.partitions()));
            }
            Event::Lost(partitions) => {
                self.forget(&partitions);
                self.journal.lost(numbers(&partitions));
            }
            _ => {}
        }
    }

    fn forget(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.handled
            .retain(|partition, _| !partitions.contains(partition));
    }

    /// Commits what is handled, unless a commit is under way.
    fn begin(&mut self) {
        if self.commit.is_none() && !self.handled.is_empty() {
            let (handle, offsets) = (self.handle.clone(), self.handled.clone());
            let commit = async move {
                let outcome = handle.commit(offsets.clone()).await;
                if outcome.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
                (outcome, offsets)
            };
            self.commit = Some(commit.boxed());
        }
    }

    /// What was refused waits for another attempt: groups take no commits while they rebalance.
    fn committed(&mut self, (outcome, offsets): Outcome) -> bool {
        match &outcome {
            Ok(()) => self
                .handled
                .retain(|partition, next| offsets.get(partition) != Some(next)),
            Err(error) => self.journal.failed("commit", error),
        }
        outcome.is_ok()
    }

    /// Commits all that is handled.
    async fn finish(&mut self) {
        self.begin();
        while self.commit.is_some() {
            let outcome = done(&mut self.commit).await;
            if self.committed(outcome) {
                self.begin();
            }
        }
    }
}

/// Waits for the end of a commit, if there is one.
async fn done(commit: &mut Option<Commit>) -> Outcome {
    let Some(running) = commit else {
        return pending().await;
    };
    let outcome = running.await;
    *commit = None;
    outcome
}

fn numbers(partitions: &BTreeSet<TopicPartition>) -> impl Iterator<Item = i32> {
    partitions.iter().map(TopicPartition::partition)
}
