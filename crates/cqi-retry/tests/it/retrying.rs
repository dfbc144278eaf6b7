//! When `retry` tries again.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqi_errors::{Error, Kind, Result};
use cqi_retry::{Backoff, Policy, Retry, retry};
use tokio::time::Instant;

use crate::{STEADY, millis};

type Seen = Arc<Mutex<Vec<(u32, Duration, String)>>>;

/// A retry without jitter that records what its hook is told.
fn recording() -> (Retry, Seen) {
    let seen = Seen::default();
    let hook = Arc::clone(&seen);
    let retry = Retry::builder()
        .backoff(STEADY)
        .on_retry(move |attempt, delay, error| {
            let mut seen = hook.lock().unwrap();
            seen.push((attempt, delay, error.to_string()));
        })
        .build()
        .unwrap();
    (retry, seen)
}

#[tokio::test(start_paused = true)]
async fn it_tries_until_it_succeeds() {
    let (settings, seen) = recording();
    let started = Instant::now();
    // The closure changes and borrows what is around it.
    let mut calls = 0;
    let answers = [None, None, Some("fine")];
    let answer = retry(&settings, || {
        let answer = &answers[calls];
        calls += 1;
        async move { answer.ok_or_else(|| Error::temporary(format!("refused {calls}"))) }
    })
    .await
    .unwrap();
    assert_eq!(answer, "fine");
    assert_eq!(calls, 3);
    assert_eq!(started.elapsed(), millis(300));
    let expected = [
        (1, millis(100), "refused 1".to_owned()),
        (2, millis(200), "refused 2".to_owned()),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_last_error_keeps_what_it_says() {
    let (settings, seen) = recording();
    let error = retry(&settings, || async {
        let error = Error::rate_limited("key 7 is over its quota")
            .with_public("at most 5 orders a second")
            .with_retry_after(millis(500));
        Err::<(), _>(error)
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.public_message(), "at most 5 orders a second");
    assert_eq!(error.retry_after(), Some(millis(500)));
    assert_eq!(
        format!("{error:#}"),
        "failed after 5 attempts in 2.3s: key 7 is over its quota"
    );
    let delays: Vec<_> = seen.lock().unwrap().iter().map(|seen| seen.1).collect();
    // The suggestion stretches a pause, and never shortens it.
    assert_eq!(delays, [millis(500), millis(500), millis(500), millis(800)]);
}

#[tokio::test(start_paused = true)]
async fn a_suggested_delay_is_clamped_to_max() {
    let (settings, seen) = recording();
    let result: Result<()> = retry(&settings, || async {
        Err(Error::temporary("m").with_retry_after(Duration::MAX))
    })
    .await;
    assert!(result.is_err());
    assert!(seen.lock().unwrap().iter().all(|seen| seen.1 == STEADY.max));
    assert_eq!(seen.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_will_fail_again_is_not_tried_again() {
    let (settings, seen) = recording();
    let error = retry(&settings, || async {
        Err::<(), _>(Error::not_found("asset", "btc"))
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.to_string(), "asset btc not found");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_ends_it_midway() {
    let calls = Cell::new(0);
    let error = retry(&Retry::default(), || async {
        calls.set(calls.get() + 1);
        Err::<(), _>(match calls.get() {
            1 => Error::temporary("refused"),
            _ => Error::permanent("no such database"),
        })
    })
    .await
    .unwrap_err();
    assert_eq!(calls.get(), 2);
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(format!("{error:#}").starts_with("failed after 2 attempts in "));
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_ones_own_decides() {
    let settings = Retry::builder()
        .policy(Policy::when(|error| error.kind() == Kind::Conflict))
        .build()
        .unwrap();
    let mut versions = [
        Err(Error::conflict("version 1 is gone")),
        Err(Error::temporary("refused")),
        Ok(()),
    ]
    .into_iter();
    let error = retry(&settings, || std::future::ready(versions.next().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
}

#[tokio::test(start_paused = true)]
async fn one_setting_serves_many_calls_at_once() {
    let settings = Retry::default();
    let call = |fails: u32| {
        let settings = &settings;
        let mut left = fails;
        retry(settings, move || {
            let failed = left > 0;
            left = left.saturating_sub(1);
            async move {
                if failed {
                    return Err(Error::timeout("m"));
                }
                Ok(fails)
            }
        })
    };
    let (one, two, three) = tokio::join!(call(1), call(4), call(5));
    assert_eq!((one.unwrap(), two.unwrap()), (1, 4));
    assert_eq!(three.unwrap_err().kind(), Kind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_it_goes_on() {
    let settings = Retry::builder()
        .backoff(Backoff {
            jitter: 1.0,
            ..STEADY
        })
        .max_attempts(None)
        .max_elapsed(None)
        .build()
        .unwrap();
    let mut calls = 0_u32;
    retry(&settings, || {
        calls += 1;
        let done = calls == 10_000;
        async move {
            if done {
                Ok(())
            } else {
                Err(Error::temporary("m"))
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(calls, 10_000);
}
