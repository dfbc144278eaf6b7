use std::future::Future;
use std::iter;
use std::pin::pin;

use cqi_errors::Result;

use crate::Retry;
use crate::attempt::Call;

/// Runs an operation until it succeeds, its error is not worth a retry, or the limits of `retry`
/// are reached.
///
/// A delay that the error [suggests](cqi_errors::Error::retry_after) stretches the pause, up to the
/// backoff's `max`. Nothing is allocated when the first attempt succeeds.
///
/// # Errors
/// - The error of the last attempt; its kind, public text and suggested delay stay. After more than
///   one attempt it gains the context "failed after N attempts in T".
/// - `Timeout` from an attempt longer than the
///   [`attempt_timeout`](crate::RetryBuilder::attempt_timeout), where that was the last.
/// - `Cancelled` once the token is cancelled, with the last error as its source; but the last error
///   itself, where it would not have been retried anyway.
///
/// # Panics
/// Outside a tokio runtime with time enabled, when it pauses or an attempt has a timeout.
///
/// # Cancel safety
/// Dropping the future drops the attempt under way, or ends the pause; nothing runs on. A
/// cancellation token and an attempt timeout drop the attempt in the same way, so it must be as
/// cancel safe as its caller needs.
///
/// ```
/// use cqi_errors::Error;
/// use cqi_retry::{Retry, retry};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let mut calls = 0;
/// let answer = retry(&Retry::default(), || {
///     calls += 1;
///     let refused = calls < 3;
///     async move {
///         if refused {
///             return Err(Error::temporary("connection refused"));
///         }
///         Ok(42)
///     }
/// })
/// .await?;
/// assert_eq!((answer, calls), (42, 3));
/// # Ok::<_, Error>(()) }).unwrap();
/// ```
pub async fn retry<T, F, Fut>(retry: &Retry, mut operation: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let call = Call::start(retry);
    // The driver runs the operation when it is made: not before the token was asked. Pinned here,
    // the operation's future is held once, wherever it is awaited.
    let attempts = pin!(async {
        let pauses = iter::from_fn(|| call.pause());
        tokio_retry::Retry::start(pauses, || call.attempt(&mut operation)).await
    });
    let result = match &retry.cancellation {
        Some(token) => token.run_until_cancelled(attempts).await,
        None => Some(attempts.await),
    };
    match result {
        Some(Ok(value)) => {
            retry.succeeded();
            Ok(value)
        }
        Some(Err(_)) | None => Err(call.error()),
    }
}
