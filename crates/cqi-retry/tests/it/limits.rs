//! Attempts and time are bounded.

use std::future::pending;
use std::time::Duration;

use cqi_errors::{Error, Kind};
use cqi_retry::{Backoff, Policy, Retry, retry};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::{STEADY, millis};

/// Fails after `takes`, always; returns the attempts, the time it took and the error.
async fn exhaust(settings: &Retry, takes: Duration) -> (u32, Duration, Error) {
    let started = Instant::now();
    let mut calls = 0;
    let error = retry(settings, || {
        calls += 1;
        async move {
            sleep(takes).await;
            Err::<(), _>(Error::temporary("refused"))
        }
    })
    .await
    .unwrap_err();
    (calls, started.elapsed(), error)
}

fn paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

#[tokio::test(start_paused = true)]
async fn attempts_count_the_first() {
    for attempts in 1..6 {
        let settings = Retry::builder().max_attempts(attempts).build().unwrap();
        let (calls, _, error) = exhaust(&settings, Duration::ZERO).await;
        assert_eq!(calls, attempts);
        assert_eq!(error.kind(), Kind::Temporary);
    }
}

#[tokio::test(start_paused = true)]
async fn no_pause_passes_the_bound() {
    let settings = Retry::builder()
        .backoff(STEADY)
        .max_elapsed(millis(650))
        .build()
        .unwrap();
    // 100 + 200 + the 400 that would pass 650.
    let (calls, elapsed, error) = exhaust(&settings, Duration::ZERO).await;
    assert_eq!((calls, elapsed), (3, millis(300)));
    assert_eq!(
        format!("{error:#}"),
        "failed after 3 attempts in 300ms: refused"
    );
    // An attempt that takes long is not cut, but it is the last.
    let (calls, elapsed, error) = exhaust(&settings, millis(5000)).await;
    assert_eq!((calls, elapsed), (1, millis(5000)));
    assert_eq!(error.to_string(), "refused");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_bounded_when_asked() {
    let settings = Retry::builder()
        .backoff(STEADY)
        .max_attempts(2)
        .attempt_timeout(millis(50))
        .build()
        .unwrap();
    let started = Instant::now();
    let error = retry(&settings, pending::<cqi_errors::Result<()>>)
        .await
        .unwrap_err();
    assert_eq!(started.elapsed(), millis(200));
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(
        format!("{error:#}"),
        "failed after 2 attempts in 200ms: the attempt did not end within 50ms: deadline has elapsed"
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_what_is_left_of_the_whole() {
    let settings = Retry::builder()
        .backoff(STEADY)
        .max_elapsed(millis(250))
        .attempt_timeout(millis(100))
        .build()
        .unwrap();
    // 100 tried, 100 paused, 50 left.
    let started = Instant::now();
    let error = retry(&settings, pending::<cqi_errors::Result<()>>)
        .await
        .unwrap_err();
    assert_eq!(started.elapsed(), millis(250));
    assert!(format!("{error:#}").contains("2 attempts in 250ms"));
}

proptest! {
    #[test]
    fn the_whole_is_bounded(
        initial in 1..500_u64,
        over in 0..5_000_u64,
        factor in 1.0..5.0_f64,
        jitter in 0.0..=1.0_f64,
        max_elapsed in 1..10_000_u64,
        takes in 0..300_u64,
        attempt_timeout in proptest::option::of(1..300_u64),
        retry_after in proptest::option::of(0..20_000_u64),
    ) {
        let settings = Retry::builder()
            .backoff(Backoff {
                initial: millis(initial),
                max: millis(initial + over),
                factor,
                jitter,
            })
            .policy(Policy::All)
            .max_attempts(None)
            .max_elapsed(millis(max_elapsed))
            .attempt_timeout(attempt_timeout.map(millis))
            .build()
            .unwrap();
        let elapsed = paused(async {
            let started = Instant::now();
            let result = retry(&settings, || async {
                sleep(millis(takes)).await;
                let error = Error::rate_limited("m");
                Err::<(), _>(match retry_after {
                    Some(delay) => error.with_retry_after(millis(delay)),
                    None => error,
                })
            });
            result.await.unwrap_err();
            started.elapsed()
        });
        // Timers fire on the next full millisecond.
        let last = if attempt_timeout.is_some() { 0 } else { takes };
        prop_assert!(elapsed <= millis(max_elapsed + last + 2), "{:?}", elapsed);
    }
}
