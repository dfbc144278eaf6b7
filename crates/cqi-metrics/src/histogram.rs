use std::sync::{Arc, OnceLock};

use cqi_tower::TraceIds;

use crate::cells::Cells;
use crate::collector::{Collector, sealed};
use crate::exemplar::Exemplars;
use crate::samples::Samples;

/// The distribution of a measurement: durations, sizes.
///
/// An observation adds to a bucket and to the sum, without locks; each thread has cells that it
/// shares with few others. A clone is the same histogram. Made by
/// [`Metrics::histogram`](crate::Metrics::histogram).
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Arc<[f64]>,
    /// The sum, then the buckets, of which the last has no upper bound.
    cells: Cells,
    exemplars: OnceLock<Exemplars>,
}

/// Two bounds in each decade, from a millisecond to ten seconds.
pub(crate) const DURATIONS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

impl Histogram {
    /// Counts a value. One that is not finite is left out: it would spoil the sum for ever.
    pub fn observe(&self, value: f64) {
        self.count(value);
    }

    /// Counts a value, and keeps the trace that it belongs to as the bucket's exemplar, if there is
    /// one that is sampled.
    ///
    /// A trace that is not sampled costs nothing, one that is about 100 ns. Where two threads meet,
    /// one exemplar is not kept.
    pub fn observe_traced(&self, value: f64, trace: Option<TraceIds>) {
        let bucket = self.count(value);
        if let (Some(bucket), Some(trace)) = (bucket, trace.filter(|trace| trace.sampled)) {
            let buckets = self.0.bounds.len() + 1;
            let exemplars = self.0.exemplars.get_or_init(|| Exemplars::new(buckets));
            exemplars.keep(bucket, value, trace.trace_id);
        }
    }

    fn count(&self, value: f64) -> Option<usize> {
        if !value.is_finite() {
            return None;
        }
        let bucket = self
            .0
            .bounds
            .iter()
            .take_while(|bound| value > **bound)
            .count();
        let cells = self.0.cells.own();
        cells.add(1 + bucket, 1);
        cells.add_f64(0, value);
        Some(bucket)
    }

    /// Returns the sum of all values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.0.cells.total_f64(0)
    }

    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> u64 {
        (0..=self.0.bounds.len())
            .map(|bucket| self.0.cells.total(1 + bucket))
            .sum()
    }

    /// Says whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Collector for Histogram {}

/// The upper bounds of the buckets.
#[derive(Clone, Debug)]
pub struct Bounds(pub(crate) Arc<[f64]>);

impl Default for Bounds {
    fn default() -> Self {
        Self(DURATIONS.into())
    }
}

impl sealed::Collector for Histogram {
    type Options = Bounds;
    const KIND: sealed::Kind = sealed::Kind::Histogram;

    fn new(bounds: &Bounds) -> Self {
        let bounds = Arc::clone(&bounds.0);
        Self(Arc::new(Inner {
            cells: Cells::new(bounds.len() + 2),
            bounds,
            exemplars: OnceLock::new(),
        }))
    }

    fn series(bounds: &Bounds) -> usize {
        bounds.0.len() + 3
    }

    fn check(bounds: &Bounds) -> Result<(), String> {
        let bounds = &bounds.0;
        if bounds.is_empty() || bounds.len() > 100 {
            return Err(format!(
                "has {} buckets; 1 to 100 are allowed",
                bounds.len()
            ));
        }
        if !bounds.iter().all(|bound| bound.is_finite()) {
            return Err(
                "has a bucket that is not finite; the one without a bound is added".to_owned(),
            );
        }
        if !bounds.is_sorted_by(|low, high| low < high) {
            return Err("has buckets that do not rise".to_owned());
        }
        Ok(())
    }

    fn write(&self, labels: &str, samples: &mut Samples<'_>) {
        let Inner {
            bounds,
            cells,
            exemplars,
        } = &*self.0;
        let mut count = 0;
        let all = bounds.iter().copied().chain([f64::INFINITY]);
        for (bucket, bound) in all.enumerate() {
            count += cells.total(1 + bucket);
            let exemplar = exemplars.get().and_then(|exemplars| exemplars.of(bucket));
            samples.bucket(labels, bound, count, exemplar);
        }
        // The sum of values that may be negative may fall; the count goes with it.
        if bounds.first().is_none_or(|bound| *bound >= 0.0) {
            samples.sample("_count", labels, count);
            samples.sample("_sum", labels, cells.total_f64(0));
        }
    }
}
