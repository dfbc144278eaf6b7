use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shared::Standing;
use crate::TopicPartition;
use crate::consumer::fetch::Position;

/// Where a member stands at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupStatus {
    /// The id that the coordinator gave; none before the first join.
    pub member_id: Option<Arc<str>>,
    /// The generation that the member is in; none while it is in no group.
    pub generation: Option<i32>,
    /// The broker that the group lives at; none while it is looked for.
    pub coordinator: Option<i32>,
    /// Whether the member is in a generation and nothing changes at the moment.
    pub stable: bool,
    /// What the member owns, told to the caller or not yet.
    pub owned: BTreeSet<TopicPartition>,
    /// How far each assigned partition was delivered, and how far behind it is.
    pub positions: BTreeMap<TopicPartition, Position>,
}

impl GroupStatus {
    pub(super) fn new(standing: Standing, positions: BTreeMap<TopicPartition, Position>) -> Self {
        Self {
            member_id: standing.member_id,
            generation: standing.generation,
            coordinator: standing.coordinator,
            stable: standing.stable,
            owned: standing.owned,
            positions,
        }
    }

    /// Returns the sum of the partitions' lags, as far as known.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.positions.values().filter_map(Position::lag).sum()
    }
}
