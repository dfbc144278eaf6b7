use cqi_errors::Result;
use cqi_tower::{Observation, Observe, ObserveLayer, Observer, Outcome, RequestInfo};
use http::Request;
use tower_layer::Layer;

use crate::Metrics;

/// Measures requests: an observer for [`ObserveLayer`], and a layer of its own.
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    _metrics: Metrics,
}

/// What is kept of one request.
#[derive(Debug)]
pub struct RequestMetrics {}

impl MetricsLayer {
    /// Registers the standard metrics.
    ///
    /// # Errors
    /// None yet.
    pub fn new(metrics: &Metrics) -> Result<Self> {
        Ok(Self {
            _metrics: metrics.clone(),
        })
    }
}

impl Observer for MetricsLayer {
    type Observation = RequestMetrics;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> RequestMetrics {
        RequestMetrics {}
    }
}

impl Observation for RequestMetrics {
    fn on_end(self, _: &Outcome<'_>) {}
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Observe<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.clone()).layer(inner)
    }
}
