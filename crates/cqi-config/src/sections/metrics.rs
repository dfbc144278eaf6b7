use std::net::{IpAddr, Ipv4Addr};

use garde::Validate;
use serde::{Deserialize, Serialize};

/// Where metrics are read and how many series there may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct MetricsConfig {
    /// Whether metrics are served on a port of their own. Default: true.
    pub enabled: bool,
    /// The address to listen on; `0.0.0.0` to be read from other machines, as in a container.
    /// Default: 127.0.0.1.
    pub host: IpAddr,
    /// The port; 0 lets the system choose one. Default: 9464.
    pub port: u16,
    /// The path. Default: /metrics.
    #[garde(custom(rooted))]
    pub path: String,
    /// The most series of one metric, where a histogram's label set is as many as its buckets and
    /// three; label sets beyond are counted as `other`. Default: 1500.
    #[garde(range(min = 1))]
    pub max_series: u32,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 9464,
            path: "/metrics".to_owned(),
            max_series: 1_500,
        }
    }
}

fn rooted(path: &str, (): &()) -> garde::Result {
    match path.starts_with('/') && !path.contains(['?', '#', ' ', '{', '}']) {
        true => Ok(()),
        false => Err(garde::Error::new("must be a path such as /metrics")),
    }
}
