use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connection::Host;

/// What the brokers said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster {
    pub(crate) brokers: BTreeMap<i32, Host>,
    /// Topics that were asked for; one that does not exist has its code and no partitions.
    pub(crate) topics: BTreeMap<Arc<str>, Topic>,
    /// Counts the answers of brokers, so that a reader can tell an answer that came after its question.
    pub(crate) version: u64,
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
    /// Never goes back.
    pub(crate) epoch: i32,
}
