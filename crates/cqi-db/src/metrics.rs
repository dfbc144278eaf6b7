use std::sync::Weak;

use cqi_errors::Result;
use cqi_metrics::{Histogram, Metrics, Unit};

use crate::pool::Inner;
use crate::{Pool, Status};

/// Bounds of the buckets for queries, in seconds.
const BOUNDS: [f64; 9] = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

impl Pool {
    /// Shows what the pool does under `{service}_db_…`: connections by state, callers that wait,
    /// how long queries take, and counts of connections, queries and timeouts.
    ///
    /// A pool that is gone shows nothing. One pool of a service can be shown so; for others, read
    /// [`status`](Pool::status).
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) if a pool is shown already.
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn register_metrics(&self, metrics: &Metrics) -> Result<()> {
        let durations = register(&self.downgrade(), metrics)?;
        // Set once, since a second pool did not get so far.
        let _ = self.counters().durations.set(durations);
        Ok(())
    }
}

/// Registers the metrics without a pool, for catalogues of what there is.
///
/// # Errors
/// As for [`Pool::register_metrics`].
pub fn describe_metrics(metrics: &Metrics) -> Result<()> {
    register(&Weak::new(), metrics).map(drop)
}

fn register(pool: &Weak<Inner>, metrics: &Metrics) -> Result<Histogram> {
    let durations = metrics
        .histogram("db", "query_duration")
        .unit(Unit::Seconds)
        .help("Time of queries, failed ones included.")
        .buckets(BOUNDS)
        .register()?;
    gauges(pool, metrics)?;
    counters(pool, metrics)?;
    Ok(durations)
}

fn gauges(pool: &Weak<Inner>, metrics: &Metrics) -> Result<()> {
    let states = Weak::clone(pool);
    metrics
        .gauge("db", "connections")
        .help("Connections by what they are doing.")
        .observe_each(
            "state",
            ["idle", "in_use", "opening"],
            move || match status(&states) {
                Some(now) => [now.idle, now.in_use, now.opening].map(|count| count as f64),
                None => [f64::NAN; 3],
            },
        )?;
    let limit = Weak::clone(pool);
    metrics
        .gauge("db", "connections_limit")
        .help("The most connections at a time; 0 once the pool is closed.")
        .observe(move || status(&limit).map_or(f64::NAN, |now| now.max_size as f64))?;
    let waiting = Weak::clone(pool);
    metrics
        .gauge("db", "callers_waiting")
        .help("Callers that wait for a connection.")
        .observe(move || status(&waiting).map_or(f64::NAN, |now| now.waiting as f64))
}

fn counters(pool: &Weak<Inner>, metrics: &Metrics) -> Result<()> {
    let count = |name: &str, help: &str, figure: fn(&Status) -> u64| {
        let pool = Weak::clone(pool);
        metrics
            .counter("db", name)
            .help(help)
            .observe(move || status(&pool).map_or(f64::NAN, |now| figure(&now) as f64))
    };
    count("connections_opened", "Connections opened.", |now| {
        now.opened
    })?;
    count(
        "connections_closed",
        "Connections closed, for whatever reason.",
        |now| now.closed,
    )?;
    count(
        "acquire_timeouts",
        "Waits for a connection that reached their bound.",
        |now| now.acquire_timeouts,
    )?;
    count(
        "query_timeouts",
        "Queries that reached their bound.",
        |now| now.query_timeouts,
    )?;
    count(
        "queries_abandoned",
        "Queries given up by their callers.",
        |now| now.abandoned,
    )?;
    count(
        "queries_replayed",
        "Queries made again, since their connection was dead.",
        |now| now.replayed,
    )
}

fn status(pool: &Weak<Inner>) -> Option<Status> {
    pool.upgrade().map(|inner| Pool::from_inner(inner).status())
}
