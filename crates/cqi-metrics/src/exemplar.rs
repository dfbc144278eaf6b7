use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// A value and the trace it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exemplar {
    pub(crate) value: f64,
    pub(crate) trace_id: u128,
    pub(crate) at: SystemTime,
}

/// The latest exemplar of each bucket of a histogram.
#[derive(Debug)]
pub(crate) struct Exemplars(Mutex<Box<[Option<Exemplar>]>>);

impl Exemplars {
    pub(crate) fn new(buckets: usize) -> Self {
        Self(Mutex::new(vec![None; buckets].into()))
    }

    pub(crate) fn keep(&self, bucket: usize, value: f64, trace_id: u128) {
        // Any will do, so that none is worth waiting for.
        let Ok(mut buckets) = self.0.try_lock() else {
            return;
        };
        #[expect(clippy::disallowed_methods, reason = "Prometheus reads it as a date")]
        let at = SystemTime::now();
        buckets[bucket] = Some(Exemplar {
            value,
            trace_id,
            at,
        });
    }

    pub(crate) fn of(&self, bucket: usize) -> Option<Exemplar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[bucket]
    }
}
