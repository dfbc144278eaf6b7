use axum::Router;

use crate::Metrics;

impl Metrics {
    /// Returns a router with the metrics at `metrics.path`, to merge into a service's own.
    ///
    /// For a service that has one port for everything: set `metrics.enabled` to false, and mind who
    /// can reach that port. See [`MetricsService`](crate::MetricsService) for how scrapes are answered.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::routing::get;
    /// use cqi_config::{MetricsConfig, ServiceConfig};
    /// use cqi_metrics::Metrics;
    ///
    /// let metrics = Metrics::new(&MetricsConfig::default(), &ServiceConfig::default())?;
    /// let app: Router = Router::new().route("/", get(|| async { "hello" })).merge(metrics.router());
    /// # Ok::<(), cqi_errors::Error>(())
    /// ```
    ///
    /// # Panics
    /// Where axum takes `metrics.path` for no path: it would not pass validation, or a segment begins
    /// with `:` or `*`. Merging panics where the service has a route of that path.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        Router::new().route_service(&self.config().path, self.service())
    }
}
