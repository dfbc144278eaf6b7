use cqi_errors::Result;
use cqi_metrics::Metrics;

use crate::{TraceStats, Tracing};

impl Tracing {
    /// Shows what became of the spans under `{service}_trace_spans_…`: those that were exported,
    /// those that were dropped, and those that wait. They are read at each scrape.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) if they are shown already.
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn register_metrics(&self, metrics: &Metrics) -> Result<()> {
        let stats = self.stats_reader();
        let read = move |figure: fn(&TraceStats) -> u64| {
            let stats = stats.clone();
            move || figure(&stats()) as f64
        };
        metrics
            .counter("trace", "spans_exported")
            .help("Spans that the collector accepted.")
            .observe(read(|stats| stats.exported))?;
        metrics
            .counter("trace", "spans_dropped")
            .help("Spans that were lost: the queue was full, or the collector did not take them.")
            .observe(read(|stats| stats.dropped))?;
        metrics
            .gauge("trace", "spans_waiting")
            .help("Spans that wait to be exported, or are on their way.")
            .observe(read(|stats| stats.waiting))
    }
}
