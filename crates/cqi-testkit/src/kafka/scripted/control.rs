//! What happens to a scripted cluster: elections, rebalances, retention.

use bytes::Bytes;
use cqi_errors::{Error, Result};
use tokio::time::Instant;

use super::ScriptedKafka;
use super::group::Group;
use super::state::{Partition, State};

/// What happens to the cluster.
impl ScriptedKafka {
    /// Has another broker lead a partition, in a new epoch; none, where the id is not a broker's.
    ///
    /// # Errors
    /// [`Kind::NotFound`](cqi_errors::Kind::NotFound): there is no such partition.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<()> {
        self.partition(topic, partition, |state, is_node| {
            state.leader = is_node(node).then_some(node);
            state.epoch += 1;
        })
    }

    /// Has another broker coordinate all groups; it knows what the one before did.
    pub fn move_coordinator(&self, node: i32) {
        self.server.world.with(|state| state.coordinator = node);
    }

    /// Adds partitions to a topic up to a number, led by the brokers in turn, or makes the topic.
    pub fn add_partitions(&self, topic: &str, total: usize) {
        self.server.world.with(|state| state.grow(topic, total));
    }

    /// Removes a topic with its records; made again, it has another id.
    pub fn remove_topic(&self, topic: &str) {
        self.server.world.with(|state| state.topics.remove(topic));
    }

    /// Has the members of a group join again.
    pub fn rebalance(&self, group: &str) {
        self.group(group, |group| group.rebalance(Instant::now()));
    }

    /// Forgets the members of a group, as when each has been silent for too long.
    pub fn forget_members(&self, group: &str) {
        self.group(group, |group| {
            group.members.clear();
            group.rebalance(Instant::now());
        });
    }

    /// Appends a raw record batch, and returns its first record's offset.
    ///
    /// # Errors
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): it is not one whole batch of version 2.
    /// - [`Kind::NotFound`](cqi_errors::Kind::NotFound): there is no such partition.
    pub fn append(&self, topic: &str, partition: i32, batch: &[u8]) -> Result<i64> {
        let appended = self.partition(topic, partition, |partition, _| {
            partition.log.append(batch, partition.epoch)
        })?;
        appended.map_err(|code| {
            let problem = format!("Kafka would refuse it with error code {code}");
            Error::invalid_input("record batch", problem)
        })
    }

    /// Returns the raw record batches of a partition, with their offsets; none of a partition that is
    /// not there.
    #[must_use]
    pub fn batches(&self, topic: &str, partition: i32) -> Vec<Bytes> {
        let found = self.partition(topic, partition, |partition, _| partition.log.batches());
        found.unwrap_or_default()
    }

    /// Removes the records before an offset, as retention does.
    ///
    /// # Errors
    /// As [`move_leader`](Self::move_leader).
    pub fn expire_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        self.partition(topic, partition, |partition, _| {
            partition.log.expire(before);
        })
    }

    /// Loses the batches from an offset on and begins a new epoch, as an unclean election does.
    ///
    /// # Errors
    /// As [`move_leader`](Self::move_leader).
    pub fn lose_records(&self, topic: &str, partition: i32, from: i64) -> Result<()> {
        self.partition(topic, partition, |partition, _| {
            partition.log.lose(from);
            partition.epoch += 1;
        })
    }

    /// Returns the offset that a group has committed.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.server.world.look(|state| {
            let offsets = &state.groups.get(group)?.offsets;
            let committed = offsets.get(&(topic.to_owned(), partition))?;
            Some(committed.offset)
        })
    }

    /// Returns the ids of a group's members.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<String> {
        self.server.world.look(|state| {
            let group = state.groups.get(group);
            group.map_or_else(Vec::new, |group| group.members.keys().cloned().collect())
        })
    }

    fn group(&self, group: &str, change: impl FnOnce(&mut Group)) {
        self.server.world.with(|state| {
            if let Some(group) = state.groups.get_mut(group) {
                change(group);
            }
        });
    }

    fn partition<T>(
        &self,
        topic: &str,
        partition: i32,
        change: impl FnOnce(&mut Partition, &dyn Fn(i32) -> bool) -> T,
    ) -> Result<T> {
        self.server.world.with(|state: &mut State| {
            let nodes = state.nodes.clone();
            let partitions = state.topics.get_mut(topic);
            let partitions = partitions.map(|topic| &mut topic.partitions);
            let index = usize::try_from(partition).ok();
            let found = partitions
                .zip(index)
                .and_then(|(all, index)| all.get_mut(index));
            let found = found.ok_or_else(|| {
                let problem = format!("there is no partition {partition} of topic {topic}");
                Error::new(cqi_errors::Kind::NotFound, problem)
            })?;
            Ok(change(found, &|node| nodes.contains_key(&node)))
        })
    }
}
