use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cqi_errors::Error;
use kafka_protocol::ResponseError;

use crate::TopicPartition;
use crate::code;
use crate::connection::Host;
use crate::wire::{MetadataAnswer, MetadataTopic};

pub(super) const UNKNOWN_TOPIC: i16 = ResponseError::UnknownTopicOrPartition.code();
const NO_LEADER: i16 = ResponseError::LeaderNotAvailable.code();

/// What the brokers said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster {
    pub(crate) brokers: BTreeMap<i32, Host>,
    /// Topics that were asked for; one that does not exist has its code and no partitions.
    pub(crate) topics: BTreeMap<Arc<str>, Topic>,
    /// Counts the answers of brokers, so that a reader can tell an answer that came after its question.
    pub(crate) version: u64,
    /// How often topics had been added to those followed when the question was asked.
    pub(super) additions: u64,
    id: Option<Arc<str>>,
    /// What partitions had of epochs, while their topic is followed: it outlives an answer without
    /// the topic, which a broker that has not caught up may give.
    epochs: BTreeMap<Arc<str>, Epochs>,
}

#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) code: i16,
    /// By number, from 0.
    pub(crate) partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) code: i16,
    /// None while there is none.
    pub(crate) leader: Option<Leader>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) node: i32,
    /// Never goes back while the topic is the same.
    pub(crate) epoch: i32,
}

type TopicId = [u8; 16];

/// Of a broker that speaks no version with ids.
const NO_ID: TopicId = [0; 16];

#[derive(Debug, Clone, Default)]
struct Epochs {
    /// A topic that is deleted and made again has another, and epochs from 0.
    topic: TopicId,
    /// The latest that was heard of each partition, with what it had.
    latest: Vec<(i32, Partition)>,
}

impl Cluster {
    /// Who leads a partition, if somebody does and it is followed.
    pub(crate) fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        self.locate(partition).ok()
    }

    /// Who leads a partition, else the code that says why nobody does.
    pub(super) fn locate(&self, partition: &TopicPartition) -> Result<Leader, i16> {
        let topic = self.topics.get(partition.topic()).ok_or(UNKNOWN_TOPIC)?;
        if topic.code != 0 {
            return Err(topic.code);
        }
        let number = usize::try_from(partition.partition()).ok();
        let known = number.and_then(|number| topic.partitions.get(number));
        let known = known.ok_or(UNKNOWN_TOPIC)?;
        known.leader.ok_or(match known.code {
            0 => NO_LEADER,
            code => code,
        })
    }

    /// Says that there is no such topic or partition.
    pub(super) fn absent(&self, partition: &TopicPartition) -> Error {
        let topic = partition.topic();
        match self.topics.get(topic).map(|topic| topic.partitions.len()) {
            Some(count) if count > 0 => Error::not_found(
                "partition",
                format_args!("{partition} of the topic's {count}"),
            ),
            _ => Error::not_found("topic", topic),
        }
    }

    /// Whether another question would be answered differently before long: a topic does not exist
    /// yet, or a partition is without a leader while one is elected.
    pub(super) fn is_unsettled(&self) -> bool {
        let unsettled = |topic: &Topic| match topic.code {
            0 => topic.partitions.iter().any(|p| p.leader.is_none()),
            code => code::is_retriable(code) || code::stale_metadata(code),
        };
        self.topics.values().any(unsettled)
    }

    /// Whether the brokers said the same of leaders and addresses.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let partitions = |cluster: &Self| -> Vec<_> {
            let topics = cluster.topics.iter();
            topics
                .map(|(name, topic)| (Arc::clone(name), topic.code, topic.partitions.clone()))
                .collect()
        };
        self.brokers == other.brokers && partitions(self) == partitions(other)
    }

    /// What is known after an answer, of the topics that are followed; nothing, if the answer came
    /// from a broker that knows of none, as one that is starting.
    pub(super) fn after(
        &self,
        answer: &MetadataAnswer,
        followed: &BTreeSet<Arc<str>>,
        additions: u64,
    ) -> Option<Self> {
        let brokers: BTreeMap<_, _> = answer.brokers.iter().filter_map(host).collect();
        if brokers.is_empty() {
            return None;
        }
        let id = answer.cluster_id.as_ref().map(|id| Arc::from(&**id));
        let mut next = Self {
            brokers,
            topics: BTreeMap::new(),
            version: self.version + 1,
            additions,
            epochs: BTreeMap::new(),
            id: id.or_else(|| self.id.clone()),
        };
        if self.is_another(&next) {
            tracing::warn!(
                before = self.id.as_deref(),
                now = next.id.as_deref(),
                "the brokers belong to another cluster than before; check the bootstrap list"
            );
        }
        for topic in &answer.topics {
            let Some(name) = followed.get(&*topic.name) else {
                continue;
            };
            let before = match self.is_another(&next) {
                true => None,
                false => self.epochs.get(name),
            };
            let mut epochs = before.cloned().unwrap_or_default();
            let partitions = match topic.error_code {
                0 => epochs.learn(name, topic),
                // If it comes back, it may be another.
                UNKNOWN_TOPIC if epochs.topic == NO_ID => {
                    epochs = Epochs::default();
                    Vec::new()
                }
                _ => Vec::new(),
            };
            let known = Topic {
                code: topic.error_code,
                partitions,
            };
            next.topics.insert(Arc::clone(name), known);
            next.epochs.insert(Arc::clone(name), epochs);
        }
        Some(next)
    }

    fn is_another(&self, next: &Self) -> bool {
        self.id.is_some() && self.id != next.id
    }
}

fn host(broker: &crate::wire::MetadataBroker) -> Option<(i32, Host)> {
    let port = u16::try_from(broker.port).ok().filter(|port| *port != 0)?;
    let name: Arc<str> = Arc::from(&*broker.host);
    (!name.is_empty()).then_some((broker.node_id, Host { name, port }))
}

impl Epochs {
    /// Takes what the answer says of each partition, except where it is older than what is known.
    fn learn(&mut self, name: &Arc<str>, topic: &MetadataTopic) -> Vec<Partition> {
        let id = topic.topic_id;
        if id != NO_ID {
            if self.topic != NO_ID && self.topic != id {
                tracing::warn!(topic = &**name, "the topic was deleted and made again");
                self.latest.clear();
            }
            self.topic = id;
        }
        let mut answered: Vec<_> = topic.partitions.iter().collect();
        answered.sort_by_key(|partition| partition.partition_index);
        for (number, answer) in answered.into_iter().enumerate() {
            if usize::try_from(answer.partition_index) != Ok(number) {
                // What comes after a gap could not be found by its number; brokers know all or none.
                break;
            }
            let leader = (answer.leader_id >= 0).then_some(Leader {
                node: answer.leader_id,
                epoch: answer.leader_epoch,
            });
            let said = (
                answer.leader_epoch,
                Partition {
                    code: answer.error_code,
                    leader,
                },
            );
            match self.latest.get_mut(number) {
                None => self.latest.push(said),
                // Without an epoch nothing can be compared.
                Some(latest) if said.0 >= latest.0 || said.0 < 0 => *latest = said,
                Some(_) => {}
            }
        }
        // All of them: partitions are never taken away, though a broker may not know of new ones yet.
        self.latest
            .iter()
            .map(|(_, partition)| *partition)
            .collect()
    }
}
