use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
/// Small, so that a server is used again within a second of its return.
const LAST: Duration = Duration::from_millis(500);

/// How long to wait between attempts to connect: doubling, with jitter.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(8)).min(LAST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_bound_and_begins_again() {
        let mut backoff = Backoff::default();
        for bound in [50, 100, 200, 400, 500, 500] {
            let delay = backoff.next();
            assert!(delay <= Duration::from_millis(bound), "{delay:?}");
            assert!(delay >= Duration::from_millis(bound / 2), "{delay:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= LAST);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
