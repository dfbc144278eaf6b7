//! The first try costs no allocation when it succeeds.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cqi_retry::{Retry, RetryBuilder, retry};
use tokio_util::sync::CancellationToken;

fn allocations(settings: RetryBuilder) -> u64 {
    let settings = settings.build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = || {
        let mut call = pin!(retry(&settings, || async { Ok(42) }));
        let answer = call.as_mut().poll(&mut cx);
        assert!(matches!(answer, Poll::Ready(Ok(42))));
    };
    allocation_counter::measure(&mut poll).count_total
}

#[test]
fn none_with_the_defaults() {
    assert_eq!(allocations(Retry::builder()), 0);
}

#[test]
fn none_with_a_token_a_timeout_and_a_hook() {
    let settings = Retry::builder()
        .cancellation(CancellationToken::new())
        .attempt_timeout(std::time::Duration::from_secs(1))
        .on_retry(|_, _, _| ());
    assert_eq!(allocations(settings), 0);
}

#[cfg(feature = "tower")]
#[test]
fn none_with_a_budget() {
    let settings = Retry::builder().budget(cqi_retry::Budget::default());
    assert_eq!(allocations(settings), 0);
}
