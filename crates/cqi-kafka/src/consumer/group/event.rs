use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::shared::Shared;
use crate::TopicPartition;
use crate::consumer::fetch::Records;
use crate::membership::RevocationId;

/// What a poll brings.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Records of one partition, in order.
    Records(Records),
    /// These partitions come in addition to those before; told after each rebalance, even if none.
    Assigned(BTreeSet<TopicPartition>),
    /// These partitions go, and no record of them comes any more: finish what is under way, commit,
    /// and drop the revocation. The rebalance waits for that.
    Revoked(Revocation),
    /// These partitions are gone, without a chance to commit, and may be another member's already:
    /// stop working on them. What was not committed comes again, there or here.
    Lost(BTreeSet<TopicPartition>),
}

/// Partitions to give back.
///
/// Until this is dropped they are still owned and can be committed, for at most
/// `max_poll_interval`; then they are [lost](Event::Lost). It may be kept while polling on, or be
/// sent to the task that does the work.
#[must_use = "dropping it gives the partitions back"]
pub struct Revocation {
    shared: Arc<Shared>,
    id: RevocationId,
    partitions: BTreeSet<TopicPartition>,
}

impl Revocation {
    pub(super) const fn new(
        shared: Arc<Shared>,
        id: RevocationId,
        partitions: BTreeSet<TopicPartition>,
    ) -> Self {
        Self {
            shared,
            id,
            partitions,
        }
    }

    /// What goes; not necessarily all that is owned.
    #[must_use]
    pub const fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    /// Gives the partitions back, as dropping does.
    pub fn done(self) {}
}

impl Drop for Revocation {
    fn drop(&mut self) {
        self.shared.revocation_done(self.id);
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}
