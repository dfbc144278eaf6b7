//! Laws of the pauses.

use std::time::Duration;

use cqi_errors::Kind;
use cqi_retry::Backoff;
use proptest::prelude::*;

use crate::{STEADY, millis};

prop_compose! {
    fn valid()(
        initial in 1..10_000_000_000_u64,
        over in 0..100_000_000_000_u64,
        factor in 1.0..10.0_f64,
        jitter in 0.0..=1.0_f64,
    ) -> Backoff {
        Backoff {
            initial: Duration::from_nanos(initial),
            max: Duration::from_nanos(initial + over),
            factor,
            jitter,
        }
    }
}

/// What the n-th pause is without jitter.
fn expected(backoff: Backoff, n: i32) -> f64 {
    (backoff.initial.as_secs_f64() * backoff.factor.powi(n)).min(backoff.max.as_secs_f64())
}

proptest! {
    #[test]
    fn never_above_max(backoff in valid(), seed: u64) {
        prop_assert!(backoff.validate().is_ok());
        let mut delays = backoff.into_iter().with_seed(seed);
        prop_assert!(delays.by_ref().take(200).all(|delay| delay <= backoff.max));
    }

    #[test]
    fn within_a_quarter_of_the_step(backoff in valid(), seed: u64) {
        let backoff = Backoff { jitter: 0.25, ..backoff };
        for (n, delay) in (0..60).zip(backoff.into_iter().with_seed(seed)) {
            let (delay, step) = (delay.as_secs_f64(), expected(backoff, n));
            let slack = step * 1e-9 + 2e-9;
            prop_assert!(delay >= step * 0.75 - slack, "{} of {}", delay, step);
            prop_assert!(delay <= step * 1.25 + slack, "{} of {}", delay, step);
        }
    }

    #[test]
    fn the_first_is_near_initial(backoff in valid(), seed: u64) {
        let first = backoff.into_iter().with_seed(seed).next().unwrap().as_secs_f64();
        let initial = backoff.initial.as_secs_f64();
        prop_assert!((first - initial).abs() <= initial * backoff.jitter + 2e-9);
    }

    #[test]
    fn without_jitter_they_never_shrink(backoff in valid()) {
        let steady = Backoff { jitter: 0.0, ..backoff };
        let delays: Vec<_> = steady.into_iter().take(100).collect();
        prop_assert!(delays.is_sorted());
        let mut reversed = delays;
        reversed.reverse();
        prop_assert!(backoff.factor < 1.5 || reversed[0] == backoff.max);
    }

    #[test]
    fn a_seed_fixes_them(backoff in valid(), seed: u64) {
        let take = || backoff.into_iter().with_seed(seed).take(20).collect::<Vec<_>>();
        prop_assert_eq!(take(), take());
    }

    #[test]
    fn nonsense_never_panics_nor_exceeds_max(
        initial: Duration,
        max: Duration,
        factor in proptest::num::f64::ANY,
        jitter in proptest::num::f64::ANY,
        seed: u64,
    ) {
        let backoff = Backoff { initial, max, factor, jitter };
        let mut delays = backoff.into_iter().with_seed(seed);
        prop_assert!(delays.by_ref().take(50).all(|delay| delay <= max));
    }
}

#[test]
fn their_mean_is_the_step() {
    let backoff = Backoff {
        jitter: 0.25,
        ..STEADY
    };
    let runs = 4000;
    let mut sums = [0.0; 4];
    for seed in 0..runs {
        for (sum, delay) in sums.iter_mut().zip(backoff.into_iter().with_seed(seed)) {
            *sum += delay.as_secs_f64();
        }
    }
    // The last step is 800 ms: none is cut at max yet.
    for (sum, step) in sums.iter().zip([0.1, 0.2, 0.4, 0.8]) {
        let mean = sum / f64::from(u32::try_from(runs).unwrap());
        assert!((mean / step - 1.0).abs() < 0.02, "{mean} of {step}");
    }
}

#[test]
fn clients_that_fail_together_come_back_apart() {
    let firsts: std::collections::HashSet<_> = (0..100)
        .map(|_| Backoff::default().into_iter().next().unwrap())
        .collect();
    assert!(firsts.len() > 90, "{} different pauses", firsts.len());
}

#[test]
fn a_refusal_names_field_value_and_range() {
    let cases = [
        (
            Backoff {
                initial: Duration::ZERO,
                ..STEADY
            },
            "backoff.initial: must be above 0s",
        ),
        (
            Backoff {
                max: millis(99),
                ..STEADY
            },
            "backoff.max: must be at least backoff.initial (100ms), is 99ms",
        ),
        (
            Backoff {
                max: Duration::from_secs(40_000_000),
                ..STEADY
            },
            "backoff.max: must be at most 365 days, is 40000000s",
        ),
        (
            Backoff {
                factor: 0.5,
                ..STEADY
            },
            "backoff.factor: must be a number from 1 up, is 0.5",
        ),
        (
            Backoff {
                factor: f64::INFINITY,
                ..STEADY
            },
            "backoff.factor: must be a number from 1 up, is inf",
        ),
        (
            Backoff {
                jitter: 1.5,
                ..STEADY
            },
            "backoff.jitter: must be from 0 to 1, is 1.5",
        ),
        (
            Backoff {
                jitter: f64::NAN,
                ..STEADY
            },
            "backoff.jitter: must be from 0 to 1, is NaN",
        ),
    ];
    for (backoff, problem) in cases {
        let error = backoff.validate().unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert_eq!(error.to_string(), problem);
    }
}
