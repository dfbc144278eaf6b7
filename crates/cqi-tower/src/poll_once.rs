use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Polls a future, and drops it at once when it is ready.
pub(crate) fn poll_once<F: Future>(
    mut future: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    let Some(inner) = future.as_mut().as_pin_mut() else {
        // Polled again after it was ready, against the contract of futures.
        return Poll::Pending;
    };
    let output = ready!(inner.poll(cx));
    future.set(None);
    Poll::Ready(output)
}
