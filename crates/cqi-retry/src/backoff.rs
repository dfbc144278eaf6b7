use std::iter::FusedIterator;
use std::time::Duration;

use cqi_errors::Result;

use crate::problems::Problems;

/// Describes pauses that grow exponentially, spread by jitter.
///
/// The n-th pause is `initial * factor^n`, at most `max`, times a random number from `1 - jitter`
/// to `1 + jitter`, and again at most `max`. Jitter keeps clients that failed together from coming
/// back together.
///
/// ```
/// use std::time::Duration;
///
/// use cqi_retry::Backoff;
///
/// let backoff = Backoff {
///     initial: Duration::from_millis(100),
///     max: Duration::from_secs(1),
///     jitter: 0.0,
///     ..Backoff::default()
/// };
/// let millis: Vec<_> = backoff.into_iter().take(5).map(|delay| delay.as_millis()).collect();
/// assert_eq!(millis, [100, 200, 400, 800, 1000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first pause before jitter: above zero. Default 100 ms.
    pub initial: Duration,
    /// The longest pause, jitter included: `initial` to 365 days. Default 30 s.
    pub max: Duration,
    /// What a pause is multiplied with for the next one: at least 1. Default 2.
    pub factor: f64,
    /// The part of a pause that is random, to either side: 0 to 1. Default 0.25.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 0.25,
        }
    }
}

/// Beyond every use, and far from where adding to the clock overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Backoff {
    /// Checks the ranges; [`RetryBuilder::build`](crate::RetryBuilder::build) calls it.
    ///
    /// # Errors
    /// `InvalidInput` that names each wrong field, what it is and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        problems.into_result()
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        let Self {
            initial,
            max,
            factor,
            jitter,
        } = *self;
        if initial.is_zero() {
            problems.add("backoff.initial", "must be above 0s");
        }
        if max < initial {
            problems.add(
                "backoff.max",
                format!("must be at least backoff.initial ({initial:?}), is {max:?}"),
            );
        } else if max > LONGEST {
            problems.add(
                "backoff.max",
                format!("must be at most 365 days, is {max:?}"),
            );
        }
        if !(1.0..f64::INFINITY).contains(&factor) {
            problems.add(
                "backoff.factor",
                format!("must be a number from 1 up, is {factor}"),
            );
        }
        if !(0.0..=1.0).contains(&jitter) {
            problems.add(
                "backoff.jitter",
                format!("must be from 0 to 1, is {jitter}"),
            );
        }
    }
}

impl IntoIterator for Backoff {
    type Item = Duration;
    type IntoIter = Delays;

    fn into_iter(self) -> Delays {
        Delays {
            next: self.initial.as_secs_f64(),
            backoff: self,
            random: fastrand::Rng::new(),
        }
    }
}

/// Yields the pauses of a [`Backoff`], without end.
///
/// Values that [`Backoff::validate`] refuses never panic; a pause that is no number is `max`.
#[derive(Clone, Debug)]
pub struct Delays {
    backoff: Backoff,
    /// The next pause before jitter, in seconds.
    next: f64,
    random: fastrand::Rng,
}

impl Delays {
    /// Fixes the jitter, for tests: the same seed gives the same pauses.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.random = fastrand::Rng::with_seed(seed);
        self
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let Backoff {
            max,
            factor,
            jitter,
            ..
        } = self.backoff;
        let limit = max.as_secs_f64();
        let delay = self.next.min(limit);
        self.next = (delay * factor).min(limit);

        let spread = 1.0 + jitter * self.random.f64().mul_add(2.0, -1.0);
        Some(Duration::try_from_secs_f64(delay * spread).map_or(max, |delay| delay.min(max)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedIterator for Delays {}
