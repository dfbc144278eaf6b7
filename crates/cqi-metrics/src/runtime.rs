//! What tokio knows of its runtime.

use cqi_errors::Result;
use tokio::runtime::Handle;

use crate::{Metrics, Unit};

impl Metrics {
    /// Adds the metrics of a tokio runtime: its workers and how busy they are, its tasks and its
    /// queue, as `tokio_workers` and so on, without the service's name.
    ///
    /// [`Metrics::new`] adds those of the runtime it is called in; this is for metrics that are made
    /// before their runtime.
    ///
    /// ```
    /// use cqi_config::{MetricsConfig, ServiceConfig};
    /// use cqi_metrics::Metrics;
    ///
    /// let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default())?;
    /// let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    /// metrics.register_runtime(runtime.handle())?;
    /// # Ok::<(), cqi_errors::Error>(())
    /// ```
    ///
    /// Reading them takes about a microsecond. The handle does not keep the runtime running.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) where those of a runtime are there already.
    #[track_caller]
    pub fn register_runtime(&self, runtime: &Handle) -> Result<()> {
        let metrics = runtime.metrics();
        let read = move |value: fn(&tokio::runtime::RuntimeMetrics) -> f64| {
            let metrics = metrics.clone();
            move || value(&metrics)
        };
        self.standard_gauge("tokio_workers")
            .help("Threads that run tasks.")
            .observe(read(|runtime| runtime.num_workers() as f64))?;
        self.standard_gauge("tokio_alive_tasks")
            .help("Tasks that have been spawned and have not ended.")
            .observe(read(|runtime| runtime.num_alive_tasks() as f64))?;
        self.standard_gauge("tokio_global_queue_depth")
            .help("Tasks that wait in the queue that all workers share.")
            .observe(read(|runtime| runtime.global_queue_depth() as f64))?;
        #[cfg(target_has_atomic = "64")]
        self.standard_counter("tokio_workers_busy")
            .help("Time that all workers together have spent on tasks.")
            .unit(Unit::Seconds)
            .observe(read(|runtime| {
                let workers = 0..runtime.num_workers();
                workers
                    .map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64())
                    .sum()
            }))?;
        Ok(())
    }
}
