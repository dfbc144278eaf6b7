//! A token, or a dropped future, stops everything at once.

use std::cell::Cell;
use std::error::Error as _;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cqi_errors::{Error, Kind, Result};
use cqi_retry::{Retry, retry};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{STEADY, millis};

fn cancelled_by(token: &CancellationToken) -> Retry {
    Retry::builder()
        .backoff(STEADY)
        .cancellation(token.clone())
        .build()
        .unwrap()
}

/// Counts how many are alive.
struct Alive<'a>(&'a Cell<i32>);

impl<'a> Alive<'a> {
    fn new(count: &'a Cell<i32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_a_pause() {
    let token = CancellationToken::new();
    let settings = cancelled_by(&token);
    let started = Instant::now();
    let failing = retry(&settings, || async {
        Err::<(), _>(Error::temporary("refused").with_public("p"))
    });
    let cancel = async {
        sleep(millis(150)).await;
        token.cancel();
    };
    let (result, ()) = tokio::join!(failing, cancel);
    let error = result.unwrap_err();
    assert_eq!(started.elapsed(), millis(150));
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(
        format!("{error:#}"),
        "cancelled after 2 attempts in 150ms: refused"
    );
    let source = error.source().unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(source.kind(), Kind::Temporary);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_an_attempt() {
    let token = CancellationToken::new();
    let settings = cancelled_by(&token);
    let alive = Cell::new(0);
    let hanging = retry(&settings, || async {
        let _alive = Alive::new(&alive);
        pending::<Result<()>>().await
    });
    let cancel = async {
        sleep(millis(70)).await;
        assert_eq!(alive.get(), 1);
        token.cancel();
    };
    let (result, ()) = tokio::join!(hanging, cancel);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(error.to_string(), "cancelled after 1 attempt in 70ms");
    assert_eq!(alive.get(), 0);
}

#[tokio::test]
async fn a_cancelled_token_prevents_the_first_attempt() {
    let token = CancellationToken::new();
    token.cancel();
    let settings = Retry::default().with_cancellation(token);
    let error = retry(&settings, || -> std::future::Ready<Result<()>> {
        panic!("must not be called")
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(error.to_string(), "cancelled before the first attempt");
}

/// The token is cancelled in the poll that ends the attempt, so the driver never gets to see it.
#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_token() {
    let token = CancellationToken::new();
    let hooked = Arc::new(AtomicU32::new(0));
    let hook = Arc::clone(&hooked);
    let settings = Retry::builder()
        .cancellation(token.clone())
        .on_retry(move |_, _, _| {
            hook.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let mut calls = 0;
    let error = retry(&settings, || {
        calls += 1;
        token.cancel();
        async { Err::<(), _>(Error::temporary("refused")) }
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(calls, 1);
    assert_eq!(hooked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_as_the_token_comes_begins_no_attempt() {
    let token = CancellationToken::new();
    let settings = cancelled_by(&token);
    let mut calls = 0;
    let failing = retry(&settings, || {
        calls += 1;
        async { Err::<(), _>(Error::temporary("refused")) }
    });
    // Joined first, its timer of the same millisecond fires before the retry is polled.
    let cancel = async {
        sleep(millis(100)).await;
        token.cancel();
    };
    let ((), result) = tokio::join!(biased; cancel, failing);
    assert_eq!(result.unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(calls, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_ends_it_anyway_is_not_hidden_by_the_token() {
    let token = CancellationToken::new();
    let settings = cancelled_by(&token);
    let error = retry(&settings, || {
        token.cancel();
        async { Err::<(), _>(Error::not_found("asset", "btc")) }
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_success_counts_though_the_token_came_first() {
    let token = CancellationToken::new();
    let settings = cancelled_by(&token);
    let answer = retry(&settings, || {
        token.cancel();
        async { Ok(7) }
    });
    assert_eq!(answer.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_leaves_nothing_behind() {
    let alive = Cell::new(0);
    let calls = Cell::new(0);
    let settings = Retry::builder().backoff(STEADY).build().unwrap();
    // Dropped within attempts (0 to 30 ms of each) and within pauses.
    for after in [10, 60, 140, 200, 350, 500] {
        calls.set(0);
        let failing = retry(&settings, || async {
            calls.set(calls.get() + 1);
            let _alive = Alive::new(&alive);
            sleep(millis(30)).await;
            Err::<(), _>(Error::temporary("refused"))
        });
        assert!(timeout(millis(after), failing).await.is_err());
        assert_eq!(alive.get(), 0, "dropped after {after} ms");
        let before = calls.get();
        sleep(millis(5000)).await;
        assert_eq!(calls.get(), before);
    }
}
