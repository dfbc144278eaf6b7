use garde::Validate;
use serde::{Deserialize, Serialize};

use crate::{
    AuthConfig, CacheConfig, DatabaseConfig, EventBusConfig, HealthConfig, LogConfig,
    MetricsConfig, ServerConfig, ServiceConfig, TracingConfig,
};

/// The settings of a service, one section for each part of CQI.
///
/// A service with settings of its own flattens it:
///
/// ```
/// use cqi_config::Config;
/// use garde::Validate;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Deserialize, Serialize, Validate)]
/// # #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
/// #[serde(default)]
/// struct Settings {
///     #[serde(flatten)]
///     #[garde(dive)]
///     base: Config,
///     #[garde(dive)]
///     pricing: Pricing,
/// }
///
/// #[derive(Default, Deserialize, Serialize, Validate)]
/// # #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
/// #[serde(default)]
/// struct Pricing {
///     /// The most assets priced at once.
///     #[garde(range(max = 1_000))]
///     batch: u32,
/// }
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Config {
    /// Who the service is; it names its logs, metrics and traces.
    #[garde(dive)]
    pub service: ServiceConfig,
    /// Where the service listens, what a request may cost, and how it shuts down.
    #[garde(dive)]
    pub server: ServerConfig,
    /// What is logged, how and where to.
    #[garde(dive)]
    pub log: LogConfig,
    /// How to reach PostgreSQL and how many connections to keep.
    #[garde(dive)]
    pub database: DatabaseConfig,
    /// Where cached values are kept, for how long, and how long to wait for them.
    #[garde(dive)]
    pub cache: CacheConfig,
    /// Which broker carries the events, how to reach it, and how much may be under way.
    #[garde(dive)]
    pub event_bus: EventBusConfig,
    /// Where metrics are read and how many series there may be.
    #[garde(dive)]
    pub metrics: MetricsConfig,
    /// Which requests are traced and where their spans go.
    #[garde(dive)]
    pub tracing: TracingConfig,
    /// Who may call the service. With neither API keys nor JWT keys, nobody is admitted.
    #[garde(dive)]
    pub auth: AuthConfig,
    /// How long health checks may take and how long their results hold.
    #[garde(dive)]
    pub health: HealthConfig,
}
