use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use futures_util::future::join_all;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::cluster::UNKNOWN_TOPIC;
use super::{Client, Cluster, Isolation, Leader, ListedOffset, OffsetSpec};
use crate::wire::ListOffsetsAnswer;
use crate::{TopicPartition, code};

type Listed = BTreeMap<TopicPartition, Result<Option<ListedOffset>>>;

/// A partition with what is asked of its leader.
type Question = (TopicPartition, OffsetSpec, Leader);

impl Client {
    /// Asks the leaders for offsets, until all are known or the timeout has passed; what is not known
    /// then has its error.
    ///
    /// Cancel safe: nothing is changed.
    pub(crate) async fn list_offsets(
        &self,
        wanted: &BTreeMap<TopicPartition, OffsetSpec>,
        isolation: Isolation,
        limit: Duration,
    ) -> Listed {
        let deadline = Instant::now() + limit;
        let mut search = Search {
            client: self,
            isolation,
            // A leader that is silent leaves time to ask the one that comes after it.
            patience: limit / 3,
            open: wanted.clone(),
            reasons: BTreeMap::new(),
            missing: BTreeMap::new(),
            listed: Listed::new(),
        };
        tokio::select! {
            _ = timeout_at(deadline, search.run()) => {}
            () = self.inner.shared.closed() => {}
        }
        // When time is up, what was said last is why.
        search.end(limit)
    }
}

struct Search<'c> {
    client: &'c Client,
    isolation: Isolation,
    /// How long one leader is waited for.
    patience: Duration,
    open: BTreeMap<TopicPartition, OffsetSpec>,
    /// Why those are open that were tried.
    reasons: BTreeMap<TopicPartition, Error>,
    /// The versions of the metadata that lacked a partition first.
    missing: BTreeMap<TopicPartition, u64>,
    listed: Listed,
}

impl Search<'_> {
    async fn run(&mut self) {
        let topics: BTreeSet<Arc<str>> = self.open.keys().map(|p| Arc::clone(p.topic())).collect();
        let interest = self.client.follow(topics);
        let mut cluster = self.client.cluster();
        let mut pauses = self.client.retry_pauses();
        loop {
            let known = cluster
                .wait_for(|cluster| interest.is_answered(cluster))
                .await;
            // The client is held, and so is who sends.
            let Ok(known) = known.map(|known| Arc::clone(&known)) else {
                return;
            };
            let (client, isolation, patience) = (self.client, self.isolation, self.patience);
            let questions = self.by_leader(&known).into_iter();
            let answers = questions.map(|(node, questions)| async move {
                let request = request(&questions, isolation);
                let answer = client.ask_node(node, &request, patience).await;
                (node, questions, answer)
            });
            for (node, questions, answer) in join_all(answers).await {
                match answer {
                    Ok(answer) => self.take(node, &questions, &answer),
                    Err(error) => self.fail(&questions, &error),
                }
            }
            if self.open.is_empty() {
                return;
            }
            self.client.refresh();
            // A leader that is another than the one that was asked is asked at once.
            let moved = |now: &Arc<Cluster>| {
                let mut open = self.open.keys();
                open.any(|partition| now.locate(partition) != known.locate(partition))
            };
            let _ = timeout(pauses.next(), cluster.wait_for(moved)).await;
        }
    }

    fn by_leader(&mut self, cluster: &Cluster) -> BTreeMap<i32, Vec<Question>> {
        let mut questions: BTreeMap<i32, Vec<Question>> = BTreeMap::new();
        let mut closed = Vec::new();
        for (partition, spec) in &self.open {
            match cluster.locate(partition) {
                Ok(leader) => {
                    self.missing.remove(partition);
                    let question = (partition.clone(), *spec, leader);
                    questions.entry(leader.node).or_default().push(question);
                }
                // A broker that has not caught up may be the one that was asked: hear another answer.
                Err(UNKNOWN_TOPIC) => {
                    let first = self.missing.entry(partition.clone());
                    let first = *first.or_insert(cluster.version);
                    if first != cluster.version {
                        closed.push((partition.clone(), cluster.absent(partition)));
                    }
                }
                Err(code) => {
                    let error = code::refused("Metadata", code, partition);
                    match error.kind().is_retryable() {
                        true => drop(self.reasons.insert(partition.clone(), error)),
                        false => closed.push((partition.clone(), error)),
                    }
                }
            }
        }
        for (partition, error) in closed {
            self.close(partition, Err(error));
        }
        questions
    }

    fn take(&mut self, node: i32, questions: &[Question], answer: &ListOffsetsAnswer) {
        let mut answered = BTreeMap::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                answered.insert((&*topic.name, partition.partition_index), partition);
            }
        }
        for (partition, ..) in questions {
            let key = (&**partition.topic(), partition.partition());
            let Some(answer) = answered.get(&key) else {
                let broker = self.client.describe(node);
                let text = format!("{broker} did not say an offset of {partition}");
                self.reasons
                    .insert(partition.clone(), Error::temporary(text));
                continue;
            };
            if answer.error_code == 0 {
                let known = (answer.offset >= 0).then_some(ListedOffset {
                    offset: answer.offset,
                    leader_epoch: (answer.leader_epoch >= 0).then_some(answer.leader_epoch),
                    timestamp: (answer.timestamp >= 0).then_some(answer.timestamp),
                });
                self.close(partition.clone(), Ok(known));
                continue;
            }
            let on = format!("{partition} at {}", self.client.describe(node));
            let error = code::refused("ListOffsets", answer.error_code, on);
            match error.kind().is_retryable() || code::stale_metadata(answer.error_code) {
                true => drop(self.reasons.insert(partition.clone(), error)),
                false => self.close(partition.clone(), Err(error)),
            }
        }
    }

    /// The broker could not be asked: final, unless it may answer later or another may lead then.
    fn fail(&mut self, questions: &[Question], error: &Error) {
        for (partition, ..) in questions {
            let context = format!("ListOffsets of {partition}: {error:#}");
            let error = Error::new(error.kind(), context);
            match error.kind().is_retryable() {
                true => drop(self.reasons.insert(partition.clone(), error)),
                false => self.close(partition.clone(), Err(error)),
            }
        }
    }

    fn close(&mut self, partition: TopicPartition, outcome: Result<Option<ListedOffset>>) {
        self.open.remove(&partition);
        self.listed.insert(partition, outcome);
    }

    /// Gives up what is open.
    fn end(mut self, limit: Duration) -> Listed {
        let trouble = self.client.inner.shared.trouble();
        for partition in self.open.into_keys() {
            if let Err(closed) = self.client.check_open() {
                self.listed.insert(partition, Err(closed));
                continue;
            }
            let late = || {
                let text = format!("no offset of {partition} was had within {limit:?}");
                Error::timeout(match &trouble {
                    Some(trouble) => format!("{text}: {trouble}"),
                    None => text,
                })
            };
            let reason = self.reasons.remove(&partition);
            let error = reason.map_or_else(late, |reason| {
                Error::new(reason.kind(), format!("{reason:#}, still after {limit:?}"))
            });
            self.listed.insert(partition, Err(error));
        }
        self.listed
    }
}

fn request(questions: &[Question], isolation: Isolation) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (partition, spec, leader) in questions {
        let question = ListOffsetsPartition::default()
            .with_partition_index(partition.partition())
            .with_current_leader_epoch(leader.epoch)
            .with_timestamp(spec.timestamp());
        topics.entry(partition.topic()).or_default().push(question);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions)
    });
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation.level())
        .with_topics(topics.collect())
}
