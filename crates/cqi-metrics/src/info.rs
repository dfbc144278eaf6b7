use cqi_errors::Result;

use crate::Metrics;

impl Metrics {
    /// Adds what runs: `build_info` with version and environment under the service's name, and
    /// OpenTelemetry's `target_info`, which names the service as its traces do.
    ///
    /// Both are 1 and serve to join their labels to other metrics. `service_instance_id` is there
    /// where the settings name one.
    #[track_caller]
    pub(crate) fn register_build(&self) -> Result<()> {
        let service = self.service_config();
        let (version, environment) = (service.version.as_str(), service.environment.as_str());
        let name = format!("{}_build", self.namespace());
        let labels = [("version", version), ("environment", environment)];
        self.standard_info(&name, "What runs.", &labels)?;

        let mut labels = vec![
            ("service_name", service.name.as_str()),
            ("service_version", version),
            ("deployment_environment_name", environment),
        ];
        if !service.instance_id.is_empty() {
            labels.push(("service_instance_id", &service.instance_id));
        }
        self.standard_info("target", "What OpenTelemetry calls the resource.", &labels)
    }
}
