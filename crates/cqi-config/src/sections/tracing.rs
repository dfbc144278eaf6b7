use std::collections::BTreeMap;
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::{http_url, positive};
use crate::{HumanDuration, Secret};

/// Which requests are traced and where their spans go.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct TracingConfig {
    /// Whether spans are exported. Default: true.
    pub enabled: bool,
    /// The OpenTelemetry collector; `https://` encrypts. Default: `http://localhost:4317`.
    #[garde(custom(http_url))]
    pub endpoint: String,
    /// How spans travel to the collector. Default: grpc.
    pub protocol: OtlpProtocol,
    /// Headers for the collector, such as `authorization`. Default: none.
    pub headers: BTreeMap<String, Secret>,
    /// The part of new traces that is recorded, from 0 (none) to 1 (all); a caller's decision comes
    /// first. Default: 1.
    #[garde(range(min = 0.0, max = 1.0))]
    pub sample_ratio: f64,
    /// The most spans that wait to be exported; more are dropped and counted. Default: 2048.
    #[garde(range(min = 1))]
    pub queue_size: u32,
    /// The most spans in one export. Default: 512.
    #[garde(range(min = 1), custom(at_most(self.queue_size)))]
    pub batch_size: u32,
    /// The longest time a span waits for its batch to fill. Default: 5s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub batch_delay: Duration,
    /// The longest time of one export. Default: 10s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub export_timeout: Duration,
    /// At shutdown, the longest time to export what waits. Default: 5s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub shutdown_timeout: Duration,
}

/// How spans travel to the collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OtlpProtocol {
    /// OTLP over gRPC; collectors listen on port 4317.
    #[default]
    Grpc,
    /// OTLP over HTTP with protobuf bodies; collectors listen on port 4318.
    Http,
}

impl Default for TracingConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            endpoint: "http://localhost:4317".to_owned(),
            protocol: OtlpProtocol::default(),
            headers: BTreeMap::new(),
            sample_ratio: 1.0,
            queue_size: 2_048,
            batch_size: 512,
            batch_delay: Duration::from_secs(5),
            export_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

fn at_most(queue: u32) -> impl FnOnce(&u32, &()) -> garde::Result {
    move |batch, ()| match *batch <= queue {
        true => Ok(()),
        false => Err(garde::Error::new(format!(
            "must be at most queue_size, {queue}"
        ))),
    }
}
