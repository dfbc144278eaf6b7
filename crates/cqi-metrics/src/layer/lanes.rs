use std::sync::Arc;

use cqi_tower::Protocol;

use super::Requests;
use crate::cells::Copies;

/// The requests of one protocol that have not ended.
///
/// Each holds the lane of the thread that it came in on: the references to the lanes are the
/// requests in flight, and threads share no counter that all of them write to.
#[derive(Clone)]
pub(super) struct Lanes(Arc<Copies<Arc<Lane>>>);

/// What a request needs at its end.
// Aligned so that no two references are counted in one cache line.
#[repr(align(64))]
pub(super) struct Lane {
    pub(super) requests: Arc<Requests>,
    pub(super) protocol: Protocol,
}

impl Lanes {
    pub(super) fn new(requests: &Arc<Requests>, protocol: Protocol) -> Self {
        Self(Arc::new(Copies::new(|| {
            Arc::new(Lane {
                requests: Arc::clone(requests),
                protocol,
            })
        })))
    }

    pub(super) fn enter(&self) -> Arc<Lane> {
        Arc::clone(self.0.own())
    }

    /// Returns what counts the requests.
    pub(super) fn in_flight(&self) -> impl Fn() -> f64 + use<> {
        let Self(lanes) = self.clone();
        move || {
            let held = |lane: &Arc<Lane>| Arc::strong_count(lane) - 1;
            lanes.iter().map(held).sum::<usize>() as f64
        }
    }
}
