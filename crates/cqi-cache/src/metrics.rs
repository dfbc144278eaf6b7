use std::sync::{Arc, Weak};
use std::time::Duration;

use cqi_errors::Result;
use cqi_metrics::{Histogram, Metrics, Unit};
use tokio::time::Instant;

use crate::cache::Inner;
use crate::counters::{Counters, Operation};
use crate::{Cache, Status};

/// Bounds of the buckets for operations, in seconds.
const BOUNDS: [f64; 9] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

impl Cache {
    /// Shows what the cache does under `{service}_cache_…`: hits and misses, how long operations and
    /// loaders take, errors, the connection, and how full a memory backend is.
    ///
    /// A cache that is gone shows nothing. One cache of a service can be shown so; for others, read
    /// [`status`](Cache::status).
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) if a cache is shown already.
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn register_metrics(&self, metrics: &Metrics) -> Result<()> {
        let histograms = register(&Arc::downgrade(self.inner()), metrics)?;
        // Set once, since a second cache did not get so far.
        let _ = self.inner().counters.histograms.set(histograms);
        Ok(())
    }
}

/// Registers the metrics without a cache, for catalogues of what there is.
///
/// # Errors
/// As for [`Cache::register_metrics`].
pub fn describe_metrics(metrics: &Metrics) -> Result<()> {
    register(&Weak::new(), metrics).map(drop)
}

#[derive(Debug)]
pub(crate) struct Histograms {
    operations: [Histogram; Operation::ALL.len()],
    loads: Histogram,
}

impl Counters {
    /// Measures an operation until what it returns is dropped, also where its caller gives it up.
    pub(crate) fn time(&self, operation: Operation) -> impl Sized + use<'_> {
        self.timer(move |histograms| &histograms.operations[operation as usize])
    }

    /// Notes how long a loader took, also one that was dropped midway.
    pub(crate) fn load_took(&self, time: Duration) {
        if let Some(histograms) = self.histograms.get() {
            histograms.loads.observe(time.as_secs_f64());
        }
    }

    fn timer(&self, which: impl Fn(&Histograms) -> &Histogram) -> Option<Timer<'_>> {
        let histogram = which(self.histograms.get()?);
        Some(Timer(histogram, Instant::now()))
    }
}

struct Timer<'a>(&'a Histogram, Instant);

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.0.observe(self.1.elapsed().as_secs_f64());
    }
}

fn register(cache: &Weak<Inner>, metrics: &Metrics) -> Result<Histograms> {
    let operations = metrics
        .histogram("cache", "operation_duration")
        .unit(Unit::Seconds)
        .help("Time of operations on the backend, failed ones included.")
        .buckets(BOUNDS)
        .label_names(["operation"])?;
    let loads = metrics
        .histogram("cache", "load_duration")
        .unit(Unit::Seconds)
        .help("Time of loaders, failed ones included.")
        .register()?;
    let registering = Registering { cache, metrics };
    registering.lookups()?;
    registering.errors()?;
    registering.loads()?;
    registering.backend()?;
    Ok(Histograms {
        operations: Operation::ALL.map(|operation| operations.get([operation.as_str()]).clone()),
        loads,
    })
}

struct Registering<'a> {
    cache: &'a Weak<Inner>,
    metrics: &'a Metrics,
}

impl Registering<'_> {
    fn lookups(&self) -> Result<()> {
        let cache = Weak::clone(self.cache);
        self.metrics
            .counter("cache", "lookups")
            .help("Values looked up, by what came of it.")
            .observe_each(
                "result",
                ["hit", "miss", "expired", "rejected"],
                move || match status(&cache) {
                    Some(now) => {
                        [now.hits, now.misses, now.expired, now.rejected].map(|n| n as f64)
                    }
                    None => [f64::NAN; 4],
                },
            )
    }

    fn errors(&self) -> Result<()> {
        let cache = Weak::clone(self.cache);
        self.metrics
            .counter("cache", "operation_errors")
            .help("Operations on the backend that failed.")
            .observe_each(
                "operation",
                Operation::ALL.map(Operation::as_str),
                move || match cache.upgrade() {
                    Some(inner) => inner.counters.all_errors().map(|n| n as f64),
                    None => [f64::NAN; Operation::ALL.len()],
                },
            )
    }

    fn loads(&self) -> Result<()> {
        self.gauge("loading", "Keys that are being loaded.", |now| {
            now.loading as f64
        })?;
        self.count("loads", "Loaders called.", |now| now.loads)?;
        self.count(
            "load_errors",
            "Loaders that failed, but for want of time; not found is an answer.",
            |now| now.load_errors,
        )?;
        self.count(
            "load_timeouts",
            "Loaders that timed out, by cache.load_timeout or by themselves.",
            |now| now.load_timeouts,
        )?;
        self.count(
            "loads_joined",
            "Callers that took the value of a loader that ran already.",
            |now| now.joined,
        )?;
        self.count(
            "loads_early",
            "Loaders called before the value expired.",
            |now| now.refreshed,
        )?;
        self.count(
            "stale_served",
            "Expired values returned, since the loader failed.",
            |now| now.served_stale,
        )?;
        self.count(
            "loads_not_kept",
            "Loaded values that could not be stored.",
            |now| now.not_kept,
        )
    }

    fn backend(&self) -> Result<()> {
        self.count("evictions", "Values given up for want of room.", |now| {
            now.evictions
        })?;
        self.count("reconnects", "Connections to Redis made again.", |now| {
            now.reconnects
        })?;
        self.gauge("connected", "Whether the backend can be reached.", |now| {
            f64::from(u8::from(now.connected))
        })?;
        self.gauge("entries", "Values in memory; 0 for Redis.", |now| {
            now.entries as f64
        })?;
        let cache = Weak::clone(self.cache);
        self.metrics
            .gauge("cache", "size")
            .unit(Unit::Bytes)
            .help("Memory of the values in memory; 0 for Redis.")
            .observe(move || status(&cache).map_or(f64::NAN, |now| now.size as f64))
    }

    fn count(&self, name: &str, help: &str, figure: fn(&Status) -> u64) -> Result<()> {
        let cache = Weak::clone(self.cache);
        self.metrics
            .counter("cache", name)
            .help(help)
            .observe(move || status(&cache).map_or(f64::NAN, |now| figure(&now) as f64))
    }

    fn gauge(&self, name: &str, help: &str, figure: fn(&Status) -> f64) -> Result<()> {
        let cache = Weak::clone(self.cache);
        self.metrics
            .gauge("cache", name)
            .help(help)
            .observe(move || status(&cache).map_or(f64::NAN, |now| figure(&now)))
    }
}

fn status(cache: &Weak<Inner>) -> Option<Status> {
    cache.upgrade().map(|inner| inner.status())
}
