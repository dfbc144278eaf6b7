use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::positive;
use crate::{HumanDuration, HumanSize};

/// Where the service listens, what a request may cost, and how it shuts down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct ServerConfig {
    /// The address to listen on; `0.0.0.0` to be reached from other machines, as in a container.
    /// Default: 127.0.0.1.
    pub host: IpAddr,
    /// The port for HTTP; 0 lets the system choose one. Default: 8080.
    pub http_port: u16,
    /// The port for gRPC; the same as `http_port` serves both on one. Default: 50051.
    pub grpc_port: u16,
    /// The most connections at a time, HTTP and gRPC together; more wait to be accepted.
    /// Default: 10000.
    #[garde(range(min = 1))]
    pub max_connections: u32,
    /// The longest time a client may take to send a request's headers. Default: 10s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub header_timeout: Duration,
    /// The longest time of one request, from its headers to the start of its response. Default: 30s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub request_timeout: Duration,
    /// The largest request body; a larger one is refused with 413. Default: 2MiB.
    #[serde(with = "HumanSize")]
    pub max_body_size: u64,
    /// At shutdown, the time between "not ready" and the last accepted connection, for load balancers
    /// to notice. Default: 5s.
    #[serde(with = "HumanDuration")]
    pub drain_delay: Duration,
    /// At shutdown, the longest time for requests under way to end. Default: 20s.
    #[serde(with = "HumanDuration")]
    pub drain_timeout: Duration,
    /// At shutdown, the longest time to close event bus, cache and database. Default: 5s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub close_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_port: 8080,
            grpc_port: 50051,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_body_size: 2 << 20,
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
        }
    }
}
