//! Who sends the spans.

use cqi_config::ServiceConfig;
use opentelemetry::KeyValue;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;

/// Describes the service by OpenTelemetry's
/// [conventions](https://opentelemetry.io/docs/specs/semconv/resource/); the environment variables
/// that its SDK reads have no effect.
pub(crate) fn of(service: &ServiceConfig) -> ResourceAttributesWithSchema {
    let instance = match service.instance_id.as_str() {
        "" => format!("{}-{}", host_name(), std::process::id()),
        named => named.to_owned(),
    };
    let resource = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.name", service.name.clone()),
            KeyValue::new("service.version", service.version.clone()),
            KeyValue::new("service.instance.id", instance),
            KeyValue::new("deployment.environment.name", service.environment.clone()),
        ])
        .build();
    ResourceAttributesWithSchema::from(&resource)
}

fn host_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}
