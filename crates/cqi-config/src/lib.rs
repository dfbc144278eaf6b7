#![cfg_attr(feature = "load", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "load"),
    doc = "The structs of cqi-config: the feature `load` reads them."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
#[cfg(feature = "load")]
mod document;
mod duration;
#[cfg(feature = "load")]
mod interpolate;
#[cfg(feature = "load")]
mod load;
#[cfg(feature = "load")]
mod origin;
#[cfg(feature = "load")]
mod problem;
#[cfg(feature = "schema")]
mod sample;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod sections;
#[cfg(feature = "schema")]
#[cfg_attr(
    not(feature = "load"),
    allow(
        dead_code,
        reason = "a sample needs names and defaults, only loading needs limits"
    )
)]
mod shape;
mod size;
#[cfg(feature = "load")]
mod suggest;
mod timestamp;

pub use config::Config;
pub use duration::HumanDuration;
#[cfg(feature = "load")]
#[cfg_attr(docsrs, doc(cfg(feature = "load")))]
pub use load::{Loader, Origins, Setting, Settings, load, load_env, must_load};
#[cfg(feature = "load")]
#[cfg_attr(docsrs, doc(cfg(feature = "load")))]
pub use origin::Origin;
#[cfg(feature = "load")]
#[cfg_attr(docsrs, doc(cfg(feature = "load")))]
pub use problem::{ConfigError, Problem};
#[cfg(feature = "schema")]
#[cfg_attr(docsrs, doc(cfg(feature = "schema")))]
pub use sample::sample;
#[cfg(feature = "schema")]
#[cfg_attr(docsrs, doc(cfg(feature = "schema")))]
pub use schema::{schema, schema_json};
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
