//! Retries stay a share of the successes.

use std::time::Duration;

use cqi_errors::{Error, Kind};
use cqi_retry::{Budget, Retry, retry};

use crate::STEADY;

async fn calls_of(
    settings: &Retry,
    operations: u32,
    result: fn() -> cqi_errors::Result<()>,
) -> u32 {
    let mut calls = 0;
    for _ in 0..operations {
        let _ = retry(settings, || {
            calls += 1;
            std::future::ready(result())
        })
        .await;
    }
    calls
}

fn refused() -> cqi_errors::Result<()> {
    Err(Error::temporary("refused"))
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_multiplied() {
    let budget = Budget::new(Duration::from_secs(60), 0, 0.1).unwrap();
    let retry = Retry::builder()
        .backoff(STEADY)
        .budget(budget)
        .build()
        .unwrap();
    assert_eq!(calls_of(&retry, 100, || Ok(())).await, 100);
    // 100 successes pay for 10 retries; without the budget it would be 500 calls.
    assert_eq!(calls_of(&retry, 100, refused).await, 110);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_balance() {
    let budget = Budget::new(Duration::from_secs(1), 3, 0.0).unwrap();
    let make = || {
        let builder = Retry::builder().backoff(STEADY).max_attempts(2);
        builder.budget(budget.clone()).build().unwrap()
    };
    let (one, two) = (make(), make());
    assert_eq!(calls_of(&one, 2, refused).await, 4);
    assert_eq!(calls_of(&two, 2, refused).await, 3);
}

#[test]
fn what_cannot_work_is_refused() {
    let problem = |window, reserve, ratio| {
        let error = Budget::new(window, reserve, ratio).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        error.to_string()
    };
    let second = Duration::from_secs(1);
    assert_eq!(
        problem(Duration::ZERO, 1, 0.1),
        "budget.window: must be from 1s to 60s, is 0ns"
    );
    assert_eq!(
        problem(second, u32::MAX, 0.1),
        "budget.reserve: must be at most 1000000, is 4294967295"
    );
    assert_eq!(
        problem(second, 1, f32::NAN),
        "budget.ratio: must be from 0 to 1, is NaN"
    );
    assert!(Budget::new(second, 0, f32::MIN_POSITIVE).is_ok());
}
