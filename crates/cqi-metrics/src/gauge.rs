use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cells::add_f64;
use crate::collector::{Collector, sealed};
use crate::samples::Samples;

/// A number that goes up and down: a temperature, the length of a queue.
///
/// Whole numbers are exact up to 2^53. A clone is the same gauge. Made by
/// [`Metrics::gauge`](crate::Metrics::gauge).
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: impl Into<f64>) {
        self.0.store(value.into().to_bits(), Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// Adds a number, which may be negative.
    pub fn add(&self, amount: impl Into<f64>) {
        add_f64(&self.0, amount.into());
    }

    /// Returns the value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

impl Collector for Gauge {}

impl sealed::Collector for Gauge {
    type Options = ();
    const KIND: sealed::Kind = sealed::Kind::Gauge;

    fn new((): &()) -> Self {
        Self::default()
    }

    fn write(&self, labels: &str, samples: &mut Samples<'_>) {
        samples.sample("", labels, self.get());
    }
}
