use std::collections::BTreeSet;

use cqi_errors::Error;

use crate::TopicPartition;
use crate::membership::{Change, CommitError, Offset, RevocationId};

/// What the caller has yet to hear, in the order in which it hears it.
///
/// Bounded whatever happens while the caller is away: what cancels out is never told.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// What the caller believes to own.
    told: BTreeSet<TopicPartition>,
    lost: BTreeSet<TopicPartition>,
    /// How often all was lost.
    losses: u64,
    assigned: Option<BTreeSet<TopicPartition>>,
    positions: Vec<(TopicPartition, Option<Offset>)>,
    revoked: Option<(RevocationId, BTreeSet<TopicPartition>)>,
    /// Told, and not done.
    finishing: Option<(RevocationId, BTreeSet<TopicPartition>)>,
    trouble: Option<Error>,
}

/// One thing to tell or to do.
#[derive(Debug)]
pub(super) enum Step {
    Lost(BTreeSet<TopicPartition>),
    Assigned(BTreeSet<TopicPartition>),
    Positions(Vec<(TopicPartition, Option<Offset>)>),
    Revoked(RevocationId, BTreeSet<TopicPartition>),
    Trouble(Error),
}

impl Changes {
    pub(super) fn add(&mut self, change: Change) {
        match change {
            Change::Assigned(partitions) => {
                self.assigned.get_or_insert_default().extend(partitions);
            }
            Change::Revoked { id, partitions } => self.revoked = Some((id, partitions)),
            Change::Lost(partitions) => self.lose(partitions),
        }
    }

    pub(super) fn position(&mut self, positions: Vec<(TopicPartition, Option<Offset>)>) {
        self.positions.extend(positions);
    }

    /// Keeps the last one.
    pub(super) fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }

    /// Takes what comes next; from then on the caller knows it.
    pub(super) fn next(&mut self) -> Option<Step> {
        if !self.lost.is_empty() {
            let lost = std::mem::take(&mut self.lost);
            self.told = &self.told - &lost;
            return Some(Step::Lost(lost));
        }
        if let Some(assigned) = self.assigned.take() {
            self.told.extend(assigned.iter().cloned());
            return Some(Step::Assigned(assigned));
        }
        if !self.positions.is_empty() {
            return Some(Step::Positions(std::mem::take(&mut self.positions)));
        }
        if let Some((id, partitions)) = self.revoked.take() {
            self.finishing = Some((id, partitions.clone()));
            return Some(Step::Revoked(id, partitions));
        }
        self.trouble.take().map(Step::Trouble)
    }

    /// Notes that the caller is through with a revocation; tells whether it was under way.
    pub(super) fn done(&mut self, id: RevocationId) -> bool {
        let Some((_, partitions)) = self.finishing.take_if(|(told, _)| *told == id) else {
            return false;
        };
        self.told = &self.told - &partitions;
        true
    }

    pub(super) const fn losses(&self) -> u64 {
        self.losses
    }

    /// Whether the caller owned these when that much had been lost, and does still: what came back
    /// since, be it the same partition, is other work, of which it has not heard.
    pub(super) fn check<'p>(
        &self,
        partitions: impl IntoIterator<Item = &'p TopicPartition>,
        losses: u64,
    ) -> Result<(), CommitError> {
        for partition in partitions {
            if self.losses != losses || self.lost.contains(partition) {
                return Err(CommitError::Lost);
            }
            if !self.told.contains(partition) {
                return Err(CommitError::NotOwned(partition.clone()));
            }
        }
        Ok(())
    }

    /// Whether the caller holds partitions that it is to give back.
    pub(super) const fn is_finishing(&self) -> bool {
        self.finishing.is_some()
    }

    /// A member loses all it has, and with it what it was about to hear.
    fn lose(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.losses += 1;
        self.positions
            .retain(|(partition, _)| !partitions.contains(partition));
        if let Some(assigned) = self.assigned.take() {
            self.assigned = Some(&assigned - &partitions).filter(|rest| !rest.is_empty());
        }
        self.revoked = None;
        self.finishing = None;
        let heard = partitions
            .into_iter()
            .filter(|partition| self.told.contains(partition));
        self.lost.extend(heard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(partitions: impl IntoIterator<Item = i32>) -> BTreeSet<TopicPartition> {
        let partitions = partitions.into_iter();
        partitions.map(|p| TopicPartition::new("t", p)).collect()
    }

    fn position(partition: i32) -> Vec<(TopicPartition, Option<Offset>)> {
        vec![(TopicPartition::new("t", partition), None)]
    }

    fn told(changes: &mut Changes) -> Vec<String> {
        let steps = std::iter::from_fn(|| changes.next());
        steps.map(|step| format!("{step:?}")).collect()
    }

    #[test]
    fn what_is_lost_before_it_was_told_is_never_told() {
        let mut changes = Changes::default();
        changes.add(Change::Assigned(set(0..2)));
        changes.position(position(0));
        changes.add(Change::Lost(set(0..2)));
        assert!(told(&mut changes).is_empty());
    }

    #[test]
    fn a_partition_that_went_and_came_back_is_told_twice_and_in_order() {
        let mut changes = Changes::default();
        changes.add(Change::Assigned(set(0..1)));
        changes.position(position(0));
        assert_eq!(
            told(&mut changes),
            ["Assigned({t-0})", "Positions([(t-0, None)])"]
        );
        changes.add(Change::Lost(set(0..1)));
        changes.add(Change::Assigned(set(0..2)));
        changes.position(position(1));
        let heard = told(&mut changes);
        assert_eq!(
            heard,
            [
                "Lost({t-0})",
                "Assigned({t-0, t-1})",
                "Positions([(t-1, None)])"
            ]
        );
    }

    #[test]
    fn any_number_of_changes_takes_the_space_of_one() {
        let mut changes = Changes::default();
        for _ in 0..1000 {
            changes.add(Change::Assigned(set(0..3)));
            changes.position(position(0));
            changes.add(Change::Lost(set(0..3)));
        }
        changes.add(Change::Assigned(set(0..3)));
        assert_eq!(told(&mut changes), ["Assigned({t-0, t-1, t-2})"]);
    }

    #[test]
    fn a_loss_ends_a_revocation_that_is_under_way() {
        let id = RevocationId(1);
        let mut changes = Changes::default();
        changes.add(Change::Assigned(set(0..2)));
        changes.add(Change::Revoked {
            id,
            partitions: set(0..1),
        });
        assert_eq!(told(&mut changes).len(), 2);
        assert!(changes.is_finishing());
        changes.add(Change::Lost(set(0..2)));
        assert!(!changes.is_finishing());
        assert_eq!(told(&mut changes), ["Lost({t-0, t-1})"]);
        assert!(!changes.done(id));
        changes.add(Change::Assigned(set(0..1)));
        changes.add(Change::Revoked {
            id: RevocationId(2),
            partitions: set(0..1),
        });
        told(&mut changes);
        assert!(!changes.done(id), "an earlier one");
        assert!(changes.done(RevocationId(2)));
        changes.add(Change::Lost(set(0..1)));
        assert!(told(&mut changes).is_empty(), "it was given back");
    }

    #[test]
    fn what_came_back_unheard_of_is_not_committed() {
        let mut changes = Changes::default();
        changes.add(Change::Assigned(set(0..2)));
        let unheard = Err(CommitError::NotOwned(TopicPartition::new("t", 0)));
        assert_eq!(changes.check(&set(0..2), 0), unheard);
        told(&mut changes);
        assert_eq!(changes.check(&set(0..2), 0), Ok(()));
        let before = changes.losses();
        changes.add(Change::Lost(set(0..2)));
        changes.add(Change::Assigned(set(0..1)));
        assert_eq!(changes.check(&set(0..1), before), Err(CommitError::Lost));
        let now = changes.losses();
        assert_eq!(changes.check(&set(0..1), now), Err(CommitError::Lost));
        assert!(matches!(changes.next(), Some(Step::Lost(_))));
        assert_eq!(changes.check(&set(0..1), now), unheard);
        told(&mut changes);
        assert_eq!(changes.check(&set(0..1), before), Err(CommitError::Lost));
        assert_eq!(changes.check(&set(0..1), now), Ok(()));
        assert_eq!(changes.check(&set(0..0), before), Ok(()));
    }
}
