use std::sync::Arc;

use cqi_config::{MetricsConfig, ServiceConfig};
use cqi_errors::Result;

/// The metrics of a service; a handle that is cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<(MetricsConfig, ServiceConfig)>,
}

impl Metrics {
    /// Makes an empty registry for a service.
    ///
    /// # Errors
    /// None yet.
    pub fn new(config: &MetricsConfig, service: &ServiceConfig) -> Result<Self> {
        Ok(Self {
            inner: Arc::new((config.clone(), service.clone())),
        })
    }

    pub(crate) fn config(&self) -> &MetricsConfig {
        &self.inner.0
    }

    pub(crate) fn encode(&self, out: &mut String) {
        out.push_str("# EOF\n");
    }
}
