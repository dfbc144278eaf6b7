use std::sync::Arc;

use cqi_errors::Result;
use cqi_metrics::Metrics;

use crate::LogGuard;

impl LogGuard {
    /// Shows how many lines were written and lost under `{service}_log_lines_…`, read at each scrape.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) if they are shown already.
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn register_metrics(&self, metrics: &Metrics) -> Result<()> {
        let output = Arc::clone(self.output());
        metrics
            .counter("log", "lines_written")
            .help("Lines that were written.")
            .observe(move || output.stats().lines_written as f64)?;
        let output = Arc::clone(self.output());
        metrics
            .counter("log", "lines_lost")
            .help("Lines that could not be written.")
            .observe(move || output.stats().lines_lost as f64)
    }
}
