//! What the brokers know: one cluster, in memory.

use std::collections::BTreeMap;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::api::Api;
use super::group::Group;
use super::log::Log;
use super::sessions::FetchSession;

pub(super) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub(super) const NOT_LEADER: i16 = 6;
pub(super) const NOT_COORDINATOR: i16 = 16;
const FENCED_LEADER_EPOCH: i16 = 74;
const UNKNOWN_LEADER_EPOCH: i16 = 75;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Ports, by the brokers' ids.
    pub(super) nodes: BTreeMap<i32, u16>,
    pub(super) versions: BTreeMap<Api, (i16, i16)>,
    pub(super) topics: BTreeMap<String, Topic>,
    /// The broker that coordinates all groups.
    pub(super) coordinator: i32,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) sessions: BTreeMap<i32, FetchSession>,
    /// How many ids of producers, and of sessions, were given out.
    pub(super) producers: i64,
    pub(super) sessions_made: i32,
    /// How many topics there have been.
    pub(super) topics_made: u128,
    /// User and password, where clients have to log in.
    pub(super) user: Option<(String, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// Another one for a topic that is made anew.
    pub(super) id: u128,
    pub(super) partitions: Vec<Partition>,
}

#[derive(Clone, Debug)]
pub(super) struct Partition {
    /// None, while it has none.
    pub(super) leader: Option<i32>,
    pub(super) epoch: i32,
    pub(super) log: Log,
}

impl Partition {
    fn led_by(node: i32) -> Self {
        Self {
            leader: Some(node),
            epoch: 0,
            log: Log::default(),
        }
    }
}

impl State {
    /// Adds partitions to a topic up to a number, led by the brokers in turn; makes the topic.
    pub(super) fn grow(&mut self, topic: &str, total: usize) {
        let topic = self.topics.entry(topic.to_owned()).or_insert_with(|| {
            self.topics_made += 1;
            Topic {
                id: self.topics_made,
                partitions: Vec::new(),
            }
        });
        let leaders = self.nodes.keys().copied().cycle().take(total);
        let missing = leaders.skip(topic.partitions.len()).map(Partition::led_by);
        topic.partitions.extend(missing);
    }

    /// Returns a partition that a broker leads, for a client that knows this epoch of it, or -1.
    pub(super) fn led(
        &mut self,
        node: i32,
        (topic, partition): (&str, i32),
        epoch: i32,
    ) -> Result<&mut Partition, i16> {
        let index = usize::try_from(partition).map_err(|_| UNKNOWN_TOPIC_OR_PARTITION)?;
        let topic = self.topics.get_mut(topic);
        let found = topic.and_then(|topic| topic.partitions.get_mut(index));
        let found = found.ok_or(UNKNOWN_TOPIC_OR_PARTITION)?;
        match epoch {
            _ if found.leader != Some(node) => Err(NOT_LEADER),
            0.. if epoch < found.epoch => Err(FENCED_LEADER_EPOCH),
            0.. if epoch > found.epoch => Err(UNKNOWN_LEADER_EPOCH),
            _ => Ok(found),
        }
    }

    pub(super) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        let index = usize::try_from(partition).ok()?;
        self.topics.get(topic)?.partitions.get(index)
    }

    /// Returns a group, where this broker coordinates it.
    pub(super) fn group(&mut self, node: i32, group: &str) -> Result<&mut Group, i16> {
        match node == self.coordinator {
            true => Ok(self.groups.entry(group.to_owned()).or_default()),
            false => Err(NOT_COORDINATOR),
        }
    }
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}
