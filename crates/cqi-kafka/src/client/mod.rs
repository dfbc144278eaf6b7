//! The brokers of a cluster, and what they lead.

mod cluster;
mod link;
mod settings;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::wire::Api;
pub(crate) use cluster::{Cluster, Leader, Partition, Topic};
pub(crate) use link::Link;
pub use settings::ClientSettings;

/// A cluster of brokers, found again after each move.
///
/// Cheap to clone; its consumers and producers hold one.
#[derive(Debug, Clone)]
pub struct Client {}

/// Keeps topics among those whose metadata is refreshed, until dropped.
#[derive(Debug)]
pub(crate) struct Interest {}

impl Client {
    /// Connects to the first broker of the list that answers, and learns of the others.
    pub async fn connect(settings: ClientSettings) -> Result<Self> {
        let _ = settings;
        Err(Error::permanent("not built yet"))
    }

    /// A connection of its own to a broker, opened with its first request and again when it broke.
    pub(crate) fn link(&self, node: i32) -> Link {
        let _ = node;
        Link {}
    }

    /// Asks any broker that answers, on the connection that the client's own requests share.
    pub(crate) async fn ask<R: Api>(&self, request: &R, timeout: Duration) -> Result<R::Answer> {
        let _ = (request, timeout);
        Err(Error::permanent("not built yet"))
    }

    /// What is known of the cluster; changes arrive by themselves.
    pub(crate) fn cluster(&self) -> tokio::sync::watch::Receiver<Arc<Cluster>> {
        unimplemented!()
    }

    /// Has these topics' metadata fetched now, and kept fresh.
    pub(crate) fn follow(&self, topics: BTreeSet<Arc<str>>) -> Interest {
        let _ = topics;
        Interest {}
    }

    /// Says that what is known was wrong: it is fetched anew, not more often than the backoff allows.
    pub(crate) fn refresh(&self) {}
}
