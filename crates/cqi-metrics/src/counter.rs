use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::collector::{Collector, sealed};
use crate::samples::Samples;

/// A number that only grows: requests served, bytes sent.
///
/// A clone counts the same. Made by [`Metrics::counter`](crate::Metrics::counter).
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds a number.
    pub fn inc_by(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Collector for Counter {}

impl sealed::Collector for Counter {
    type Options = ();
    const KIND: sealed::Kind = sealed::Kind::Counter;

    fn new((): &()) -> Self {
        Self::default()
    }

    fn write(&self, labels: &str, samples: &mut Samples<'_>) {
        samples.sample("_total", labels, self.get());
    }
}
