use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, TryLockError};

use crate::label;
use crate::registry::Source;
use crate::samples::Samples;

/// Values that the user's code tells at each scrape.
pub(crate) struct Observed<F, const N: usize> {
    suffix: &'static str,
    name: Option<&'static str>,
    /// As they are written, one for each value.
    labels: [Box<str>; N],
    read: Mutex<(F, bool)>,
    last: Mutex<[f64; N]>,
}

impl<F: FnMut() -> [f64; N], const N: usize> Observed<F, N> {
    pub(crate) fn new(
        suffix: &'static str,
        label: Option<(&'static str, [&'static str; N])>,
        read: F,
    ) -> Self {
        let labels = match label {
            Some((name, values)) => values.map(|value| label::render([(name, value)])),
            None => [(); N].map(|()| Box::default()),
        };
        let name = label.map(|(name, _)| name);
        Self {
            suffix,
            name,
            labels,
            read: Mutex::new((read, false)),
            last: Mutex::new([f64::NAN; N]),
        }
    }

    /// Reads the values; those of the last time where another scrape is at it, so that a function
    /// that hangs holds up one.
    fn read(&self, metric: &str) -> [f64; N] {
        let mut guard = match self.read.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return *lock(&self.last),
        };
        let (read, has_panicked) = &mut *guard;
        let values = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            if !*has_panicked {
                tracing::error!(metric, "the function that reads a metric panicked");
            }
            *has_panicked = true;
            [f64::NAN; N]
        });
        *lock(&self.last) = values;
        values
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<F: FnMut() -> [f64; N] + Send, const N: usize> Source for Observed<F, N> {
    fn write(&self, samples: &mut Samples<'_>) {
        let values = self.labels.iter().zip(self.read(samples.name()));
        // A sample that is not there spoils no sum, and is what Prometheus expects of a target that
        // cannot say.
        for (labels, value) in values.filter(|(_, value)| !value.is_nan()) {
            samples.sample(self.suffix, labels, value);
        }
    }

    fn labels(&self) -> Vec<String> {
        self.name.into_iter().map(str::to_owned).collect()
    }
}
