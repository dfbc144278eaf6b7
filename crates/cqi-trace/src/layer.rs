use cqi_tower::{Observation, Observe, ObserveLayer, Observer, Outcome, RequestInfo};
use http::Request;
use tower_layer::Layer;

use crate::Tracing;

/// Makes a server span per request: an observer for [`ObserveLayer`], and a layer of its own.
#[derive(Clone, Debug)]
pub struct TraceLayer {
    _tracing: Tracing,
}

/// What is kept of one request.
#[derive(Debug)]
pub struct RequestTrace {}

impl TraceLayer {
    /// Traces requests.
    #[must_use]
    pub fn new(tracing: &Tracing) -> Self {
        Self {
            _tracing: tracing.clone(),
        }
    }
}

impl Observer for TraceLayer {
    type Observation = RequestTrace;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> RequestTrace {
        RequestTrace {}
    }
}

impl Observation for RequestTrace {
    fn on_end(self, _: &Outcome<'_>) {}
}

impl<S> Layer<S> for TraceLayer {
    type Service = Observe<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.clone()).layer(inner)
    }
}
