use std::collections::BTreeMap;
use std::sync::Arc;

use super::Slot;
use crate::TopicPartition;

/// Slots by topic and number, found by borrowed names.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Slot>>,
}

impl Partitions {
    pub(super) fn insert_new(&mut self, name: &TopicPartition, slot: impl FnOnce() -> Slot) {
        let topic = self.topics.entry(Arc::clone(name.topic())).or_default();
        topic.entry(name.partition()).or_insert_with(slot);
    }

    pub(super) fn remove(&mut self, name: &TopicPartition) {
        if let Some(topic) = self.topics.get_mut(name.topic()) {
            topic.remove(&name.partition());
            if topic.is_empty() {
                self.topics.remove(name.topic());
            }
        }
    }

    pub(super) fn get(&self, name: &TopicPartition) -> Option<&Slot> {
        self.topics.get(name.topic())?.get(&name.partition())
    }

    pub(super) fn get_mut(&mut self, name: &TopicPartition) -> Option<&mut Slot> {
        self.topics
            .get_mut(name.topic())?
            .get_mut(&name.partition())
    }

    pub(super) fn find_mut(
        &mut self,
        topic: &str,
        partition: i32,
    ) -> Option<(TopicPartition, &mut Slot)> {
        let name = Arc::clone(self.topics.get_key_value(topic)?.0);
        let slot = self.topics.get_mut(topic)?.get_mut(&partition)?;
        Some((TopicPartition::new(name, partition), slot))
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TopicPartition, &Slot)> {
        self.topics.iter().flat_map(|(topic, slots)| {
            let name = move |partition| TopicPartition::new(Arc::clone(topic), partition);
            slots
                .iter()
                .map(move |(partition, slot)| (name(*partition), slot))
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (TopicPartition, &mut Slot)> {
        self.topics.iter_mut().flat_map(|(topic, slots)| {
            let name = move |partition| TopicPartition::new(Arc::clone(topic), partition);
            slots
                .iter_mut()
                .map(move |(partition, slot)| (name(*partition), slot))
        })
    }
}
