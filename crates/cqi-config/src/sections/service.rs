use garde::Validate;
use serde::{Deserialize, Serialize};

/// Who the service is; it names its logs, metrics and traces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct ServiceConfig {
    /// The name of the service, such as `asset-registry`. OpenTelemetry's `service.name`.
    /// Default: service.
    #[garde(length(min = 1, max = 255))]
    pub name: String,
    /// The version of the service. OpenTelemetry's `service.version`. Default: 0.0.0.
    pub version: String,
    /// Where the service runs, such as `production`. OpenTelemetry's `deployment.environment.name`.
    /// Default: development.
    pub environment: String,
    /// The instance among its replicas; the host name and process id when empty. OpenTelemetry's
    /// `service.instance.id`. Default: empty.
    pub instance_id: String,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            name: "service".to_owned(),
            version: "0.0.0".to_owned(),
            environment: "development".to_owned(),
            instance_id: String::new(),
        }
    }
}
