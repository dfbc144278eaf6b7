use std::sync::Arc;

use crate::client::{Client, Link};
use crate::membership::Request;

/// Connections to the broker that the group lives at.
///
/// A broker answers the requests of a connection in order. It holds back `JoinGroup` and
/// `SyncGroup` for minutes and `OffsetCommit` until its replicas have it: a heartbeat waits for neither.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) node: i32,
    alive: Arc<Link>,
    parked: Arc<Link>,
    offsets: Arc<Link>,
}

impl Links {
    pub(super) fn new(client: &Client, node: i32) -> Self {
        let link = || Arc::new(client.link(node));
        Self {
            node,
            alive: link(),
            parked: link(),
            offsets: link(),
        }
    }

    /// Which connection a request goes by.
    pub(super) fn of(&self, request: &Request) -> Arc<Link> {
        let link = match request {
            Request::JoinGroup { .. } | Request::SyncGroup { .. } => &self.parked,
            Request::OffsetCommit { .. } | Request::OffsetFetch { .. } => &self.offsets,
            _ => &self.alive,
        };
        Arc::clone(link)
    }

    /// Leaves behind a request that the broker still holds back.
    pub(super) fn renew_parked(&mut self, client: &Client) {
        self.parked = Arc::new(client.link(self.node));
    }
}
