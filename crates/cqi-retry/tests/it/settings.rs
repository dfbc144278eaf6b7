//! Building a `Retry`, and what its policies cover.

use std::time::Duration;

use cqi_errors::{Error, Kind};
use cqi_retry::{Backoff, Policy, Retry};

const KINDS: [Kind; 11] = [
    Kind::NotFound,
    Kind::InvalidInput,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::Conflict,
    Kind::RateLimited,
    Kind::Timeout,
    Kind::Cancelled,
    Kind::Temporary,
    Kind::Permanent,
    Kind::Unknown,
];

fn covered(policy: &Policy) -> Vec<Kind> {
    KINDS
        .into_iter()
        .filter(|kind| policy.retries(&Error::new(*kind, "m")))
        .collect()
}

#[test]
fn policies_cover_kinds() {
    let temporary = [Kind::RateLimited, Kind::Timeout, Kind::Temporary];
    assert_eq!(covered(&Policy::default()), temporary);
    assert_eq!(covered(&Policy::Temporary), temporary);
    assert_eq!(covered(&Policy::None), []);
    assert_eq!(
        covered(&Policy::when(|error| error.kind() == Kind::Conflict)),
        [Kind::Conflict]
    );
    let all = covered(&Policy::All);
    assert_eq!(all.len(), KINDS.len() - 1);
    assert!(!all.contains(&Kind::Cancelled));
}

#[test]
fn the_outermost_kind_decides() {
    let error = Error::permanent("gave up").with_source(Error::temporary("refused"));
    assert!(!Policy::Temporary.retries(&error));
}

#[test]
fn what_cannot_work_is_refused() {
    let problem = |builder: cqi_retry::RetryBuilder| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        error.to_string()
    };
    assert_eq!(
        problem(Retry::builder().max_attempts(0)),
        "max_attempts: must be at least 1, or none for no limit"
    );
    assert_eq!(
        problem(Retry::builder().max_elapsed(Duration::ZERO)),
        "max_elapsed: must be above 0s, or none for no limit"
    );
    assert_eq!(
        problem(Retry::builder().attempt_timeout(Duration::ZERO)),
        "attempt_timeout: must be above 0s, or none for no limit"
    );
    let backoff = Backoff {
        jitter: -0.1,
        ..Backoff::default()
    };
    assert_eq!(
        problem(Retry::builder().backoff(backoff)),
        "backoff.jitter: must be from 0 to 1, is -0.1"
    );
    assert!(
        Retry::builder()
            .max_attempts(None)
            .max_elapsed(None)
            .attempt_timeout(None)
            .build()
            .is_ok()
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let wrong = Backoff {
        initial: Duration::ZERO,
        max: Duration::MAX,
        factor: f64::NAN,
        jitter: 2.0,
    };
    let error = Retry::builder()
        .backoff(wrong)
        .max_attempts(0)
        .max_elapsed(Duration::ZERO)
        .attempt_timeout(Duration::ZERO)
        .build()
        .unwrap_err();
    let text = format!(
        "backoff.initial: must be above 0s; \
         backoff.max: must be at most 365 days, is {:?}; \
         backoff.factor: must be a number from 1 up, is NaN; \
         backoff.jitter: must be from 0 to 1, is 2; \
         max_attempts: must be at least 1, or none for no limit; \
         max_elapsed: must be above 0s, or none for no limit; \
         attempt_timeout: must be above 0s, or none for no limit",
        Duration::MAX
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.public_message(), text);
    assert_eq!(error.field(), None);

    let one = Retry::builder().max_attempts(0).build().unwrap_err();
    assert_eq!(one.field(), Some("max_attempts"));
}

#[test]
fn debug_shows_the_settings() {
    let retry = Retry::builder()
        .policy(Policy::when(|_| true))
        .build()
        .unwrap();
    let text = format!("{retry:?}");
    assert!(text.contains("max_attempts: Some(5)"), "{text}");
    assert!(text.contains("policy: When(..)"), "{text}");
    assert!(text.contains("initial: 100ms"), "{text}");
    for policy in [Policy::Temporary, Policy::All, Policy::None] {
        assert!(["Temporary", "All", "None"].contains(&format!("{policy:?}").as_str()));
    }
}

#[test]
fn settings_and_the_future_cross_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_send_and_sync<T: Send + Sync + 'static>(_: &T) {}
    let settings = Retry::default();
    is_send_and_sync(&settings);
    is_send(&cqi_retry::retry(&settings, || async { Ok(()) }));
}

#[test]
fn the_operations_future_is_held_once() {
    let settings = Retry::default();
    let small = cqi_retry::retry(&settings, || async { Ok(()) });
    let large = cqi_retry::retry(&settings, || async {
        let buffer = [0_u8; 10_000];
        tokio::task::yield_now().await;
        std::hint::black_box(&buffer);
        Ok(())
    });
    let (small, large) = (size_of_val(&small), size_of_val(&large));
    assert!(large < small + 10_500, "{small} and {large} bytes");
}
