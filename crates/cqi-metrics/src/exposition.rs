use crate::{Format, Metrics};

impl Metrics {
    /// Writes all metrics down, as a scrape answers.
    ///
    /// Values that are read at the scrape are read now, one after the other; one that blocks blocks
    /// this call.
    ///
    /// ```
    /// use cqi_config::{MetricsConfig, ServiceConfig};
    /// use cqi_metrics::{Format, Metrics};
    ///
    /// let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default())?;
    /// assert!(metrics.render(Format::OpenMetrics).ends_with("# EOF\n"));
    /// # Ok::<(), cqi_errors::Error>(())
    /// ```
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let mut text = String::new();
        self.registry().write(&mut text, format);
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}
