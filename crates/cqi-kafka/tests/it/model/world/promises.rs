//! What must be true after every step, and what must become true in the calm.

use cqi_kafka::TopicPartition;

use super::{Process, World};

impl World {
    /// Every partition that somebody wants has its one owner, who wants it and knows where to go on.
    pub(in crate::model) fn settled(&self) -> Result<(), String> {
        if !self.coordinator.is_stable() {
            return Err("the group does not become stable".into());
        }
        for (topic, &count) in &self.counts {
            let wanted = self.processes.iter().any(|process| process.wants(topic));
            for partition in (0..count).map(|p| TopicPartition::new(topic.clone(), p)) {
                let owns = |p: &&Process| p.owned().contains(&partition);
                let owners: Vec<_> = self.processes.iter().filter(owns).collect();
                if owners.len() != usize::from(wanted) {
                    return Err(format!("{partition} has {} owners at last", owners.len()));
                }
                for owner in owners {
                    if !owner.wants(topic) {
                        return Err(format!("{partition} has an owner who does not want it"));
                    }
                    if !owner.positions.contains_key(&partition) {
                        return Err(format!("{partition} stands still"));
                    }
                }
            }
        }
        Ok(())
    }

    /// No partition has two owners, nothing is skipped, nobody works on another's.
    pub(super) fn check(&self) -> Result<(), String> {
        for (n, one) in self.processes.iter().enumerate() {
            if let Some(other) = one.positions.keys().find(|p| !one.owned().contains(p)) {
                return Err(format!(
                    "process {n} works on {other}, which it does not own"
                ));
            }
            for other in &self.processes[n + 1..] {
                let shared = one.owned().intersection(other.owned()).next();
                let Some(partition) = shared else { continue };
                let joined = one.generation().zip(other.generation()).is_some();
                if joined && one.epoch == other.epoch {
                    return Err(format!("{partition} has two owners in one generation"));
                }
                let listed = |p: &Process| p.id().is_some_and(|id| self.coordinator.knows(id));
                if listed(one) && listed(other) {
                    return Err(format!("{partition} has two owners in one group"));
                }
            }
        }
        for (partition, committed) in &self.coordinator.committed {
            let delivered = self.delivered.get(partition).copied().unwrap_or(0);
            if *committed > delivered {
                return Err(format!(
                    "{partition} is committed to {committed}, delivered to {delivered}"
                ));
            }
        }
        Ok(())
    }
}
