#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod duration;
mod secret;
mod sections;
mod size;
mod timestamp;

pub use config::Config;
pub use duration::HumanDuration;
pub use secret::Secret;
pub use sections::auth::{ApiKeyConfig, AuthConfig, JwtAlgorithm, JwtConfig, JwtKeyConfig};
pub use sections::cache::{CacheBackend, CacheConfig};
pub use sections::database::{DatabaseConfig, SslMode, TargetSessionAttrs};
pub use sections::event_bus::{
    Compression, Delivery, EventBusBackend, EventBusConfig, SaslMechanism,
};
pub use sections::health::HealthConfig;
pub use sections::log::{LogConfig, LogFormat, LogOutput};
pub use sections::metrics::MetricsConfig;
pub use sections::server::ServerConfig;
pub use sections::service::ServiceConfig;
pub use sections::tracing::{OtlpProtocol, TracingConfig};
pub use size::HumanSize;
