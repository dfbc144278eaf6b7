use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What a pool is doing at one moment, and what it has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Connections open at present.
    pub size: usize,
    /// The most connections at a time: `max_connections`, or 0 once the pool is closed.
    pub max_size: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// Open connections that are checked out, or being cleaned.
    pub in_use: usize,
    /// Connections being opened.
    pub opening: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// Connections opened so far.
    pub opened: u64,
    /// Connections closed so far, for whatever reason.
    pub closed: u64,
    /// Waits for a connection that reached `acquire_timeout`.
    pub acquire_timeouts: u64,
    /// Queries run, failed ones included.
    pub queries: u64,
    /// Queries that reached `query_timeout`.
    pub query_timeouts: u64,
    /// Queries given up by their callers before they ended.
    pub abandoned: u64,
    /// Queries repeated on another connection, because theirs had ended before the server saw them.
    pub replayed: u64,
}

#[derive(Debug)]
pub(crate) struct Counters {
    start: Instant,
    /// When the server answered last, in milliseconds since the start; 0 when that is in doubt.
    heard: AtomicU64,
    pub(crate) opening: AtomicUsize,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: Arc<AtomicU64>,
    pub(crate) acquire_timeouts: AtomicU64,
    pub(crate) queries: AtomicU64,
    pub(crate) query_timeouts: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) replayed: AtomicU64,
    /// How long queries take, where somebody wants to know.
    #[cfg(feature = "metrics")]
    pub(crate) durations: std::sync::OnceLock<cqi_metrics::Histogram>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            heard: AtomicU64::new(0),
            opening: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            closed: Arc::default(),
            acquire_timeouts: AtomicU64::new(0),
            queries: AtomicU64::new(0),
            query_timeouts: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            durations: std::sync::OnceLock::new(),
        }
    }

    /// Notes that the server has answered.
    pub(crate) fn heard(&self, now: Instant) {
        self.heard.store(self.millis(now), Ordering::Relaxed);
    }

    /// Notes that a connection failed: what was heard before says nothing any more.
    pub(crate) fn lost(&self) {
        self.heard.store(0, Ordering::Relaxed);
    }

    pub(crate) fn heard_within(&self, span: Duration) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        heard > 0
            && self.millis(Instant::now())
                <= heard + u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) fn opening(&self) -> impl Drop + use<'_> {
        struct Opening<'a>(&'a AtomicUsize);
        impl Drop for Opening<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.opening.fetch_add(1, Ordering::Relaxed);
        Opening(&self.opening)
    }

    pub(crate) fn status(&self, pool: deadpool_postgres::Status) -> Status {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let opening = self.opening.load(Ordering::Relaxed);
        Status {
            size: pool.size,
            max_size: pool.max_size,
            idle: pool.available,
            in_use: pool.size - pool.available.min(pool.size),
            opening,
            // deadpool counts those who open a connection among those who wait for one.
            waiting: pool.waiting.saturating_sub(opening),
            opened: count(&self.opened),
            closed: count(&self.closed),
            acquire_timeouts: count(&self.acquire_timeouts),
            queries: count(&self.queries),
            query_timeouts: count(&self.query_timeouts),
            abandoned: count(&self.abandoned),
            replayed: count(&self.replayed),
        }
    }
}
