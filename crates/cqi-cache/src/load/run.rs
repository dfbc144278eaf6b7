use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Weak;
use std::task::Poll;
use std::time::Duration;

use cqi_errors::{Error, Result};
use tokio::time::{Instant, timeout_at};

use crate::cache::Inner;

/// How a loader came to its end.
pub(super) struct Ran<M> {
    pub(super) end: End<M>,
    pub(super) took: Duration,
}

pub(super) enum End<M> {
    Loaded(M),
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

/// Calls a loader and waits for it, but not for ever.
pub(super) async fn to_end<M, F, Fut>(
    loader: F,
    deadline: Instant,
    limit: Duration,
    cache: Weak<Inner>,
) -> Ran<M>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<M>>,
{
    let running = Running {
        started: Instant::now(),
        cache,
    };
    let end = match timeout_at(deadline, caught(loader)).await {
        Ok(Ok(Ok(value))) => End::Loaded(value),
        Ok(Ok(Err(error))) => End::Failed(error),
        Ok(Err(payload)) => End::Panicked(payload),
        Err(_) => End::Failed(too_slow(limit)),
    };
    let took = running.started.elapsed();
    Ran { end, took }
}

/// Runs a loader up to its panic, if it has one: the calls that wait for it are to hear of that.
async fn caught<F, Fut>(loader: F) -> Result<Fut::Output, Box<dyn Any + Send>>
where
    F: FnOnce() -> Fut,
    Fut: Future,
{
    let mut load = pin!(async move { loader().await });
    poll_fn(|cx| {
        // After a panic it is not polled again.
        match catch_unwind(AssertUnwindSafe(|| load.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}

/// When to give a load up that begins now.
pub(super) fn deadline(limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    Instant::now() + limit.min(FAR)
}

pub(super) fn too_slow(limit: Duration) -> Error {
    Error::timeout(format!(
        "the loader took longer than the {limit:?} of cache.load_timeout"
    ))
}

pub(super) fn panicked() -> Error {
    Error::permanent("the loader panicked in the call that ran it")
}

/// Measures a loader, also one that is dropped midway.
struct Running {
    started: Instant,
    cache: Weak<Inner>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.upgrade() {
            cache.counters.load_took(self.started.elapsed());
        }
    }
}
