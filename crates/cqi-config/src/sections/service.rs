/// Who the service is; it names its logs, metrics and traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// The name of the service, such as `asset-registry`. OpenTelemetry's `service.name`.
    pub name: String,
    /// The version of the service. OpenTelemetry's `service.version`.
    pub version: String,
    /// Where the service runs, such as `production`. OpenTelemetry's `deployment.environment.name`.
    pub environment: String,
    /// The instance among its replicas; the host name and process id when empty. OpenTelemetry's `service.instance.id`.
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
