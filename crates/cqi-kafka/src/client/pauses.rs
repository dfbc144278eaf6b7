use std::time::Duration;

/// Pauses that double from the first to the longest, each shortened by up to a fifth at random.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    first: Duration,
    longest: Duration,
    taken: u32,
}

impl Pauses {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            taken: 0,
        }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.taken);
        let pause = self.first.saturating_mul(factor).min(self.longest);
        self.taken = self.taken.saturating_add(1);
        pause.mul_f64(fastrand::f64().mul_add(-0.2, 1.0))
    }

    /// Begins again with the first.
    pub(crate) const fn reset(&mut self) {
        self.taken = 0;
    }

    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_none_is_the_same() {
        let longest = Duration::from_millis(1000);
        let mut pauses = Pauses::new(Duration::from_millis(50), longest);
        for expected in [50, 100, 200, 400, 800, 1000, 1000] {
            let pause = pauses.next();
            let expected = Duration::from_millis(expected);
            assert!(
                pause <= expected && pause >= expected.mul_f64(0.8),
                "{pause:?}"
            );
        }
        for _ in 0..1000 {
            assert!((longest.mul_f64(0.8)..=longest).contains(&pauses.next()));
        }
        assert_ne!(pauses.next(), pauses.next());
        pauses.reset();
        assert!(pauses.next() <= Duration::from_millis(50));
    }
}
