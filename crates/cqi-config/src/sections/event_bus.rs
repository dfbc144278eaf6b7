use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::{addresses, one_part, positive};
use crate::{HumanDuration, HumanSize, Secret};

/// Which broker carries the events, how to reach it, and how much may be under way.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct EventBusConfig {
    /// What carries the events. Default: memory.
    pub backend: EventBusBackend,
    /// Some of the Kafka brokers as `host:port`; the others are found through them.
    /// Default: localhost:9092.
    #[garde(length(min = 1), custom(addresses))]
    pub brokers: Vec<String>,
    /// The consumer group. Members of one group share its events, so two services need two names;
    /// Kafka does not work without. Default: empty.
    #[garde(custom(needed_by_kafka(self.backend)))]
    pub group: String,
    /// How safe a published event is from being written twice. Default: idempotent.
    pub delivery: Delivery,
    /// How published events are compressed. Default: lz4.
    pub compression: Compression,
    /// The longest time of one publish, from the call to the brokers' acknowledgement, the wait for a
    /// place in a full queue included. Default: 10s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub publish_timeout: Duration,
    /// The most events that wait to be published. Default: 10000.
    #[garde(range(min = 1))]
    pub queue_events: u32,
    /// The most bytes that wait to be published. Default: 32MiB.
    #[serde(with = "HumanSize")]
    #[garde(range(min = 1))]
    pub queue_size: u64,
    /// The largest event; brokers take 1MiB unless told otherwise. Default: 1MiB.
    #[serde(with = "HumanSize")]
    #[garde(range(min = 1))]
    pub max_event_size: u64,
    /// The longest time to open a connection, TLS and SASL included. Default: 5s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub connect_timeout: Duration,
    /// The longest wait for a broker's answer. Default: 10s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub request_timeout: Duration,
    /// After this long without a sign of life, a member's partitions go to the rest of its group.
    /// Default: 45s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub session_timeout: Duration,
    /// Whether connections are encrypted and the brokers' certificates verified. Default: true.
    pub tls: bool,
    /// A PEM file of the certificate authorities to trust; the system's when absent. Default: none.
    pub tls_root_cert: Option<PathBuf>,
    /// How the service proves to the brokers who it is. Default: none.
    pub sasl_mechanism: SaslMechanism,
    /// The user for SASL. Default: empty.
    #[garde(custom(needed_by_sasl(self.sasl_mechanism)), custom(one_part))]
    pub sasl_username: String,
    /// The password for SASL; any characters. Default: empty.
    pub sasl_password: Secret,
}

/// What carries the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventBusBackend {
    /// This process, for development and tests.
    #[default]
    Memory,
    /// Apache Kafka.
    Kafka,
}

/// How safe a published event is from being written twice. None is lost either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Delivery {
    /// Sending it again after a timeout writes it once.
    #[default]
    Idempotent,
    /// Sending it again after a timeout may write it twice.
    AtLeastOnce,
}

/// How published events are compressed. Every kind is understood when events are consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Small and slow.
    Gzip,
    /// Fast.
    Snappy,
    /// Fast, and smaller than snappy.
    #[default]
    Lz4,
    /// Small, and faster than gzip.
    Zstd,
}

/// How the service proves to the brokers who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SaslMechanism {
    /// Not by SASL.
    #[default]
    None,
    /// By sending the password; only with TLS.
    Plain,
    /// By a SCRAM exchange with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By a SCRAM exchange with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Default for EventBusConfig {
    fn default() -> Self {
        Self {
            backend: EventBusBackend::default(),
            brokers: vec!["localhost:9092".to_owned()],
            group: String::new(),
            delivery: Delivery::default(),
            compression: Compression::default(),
            publish_timeout: Duration::from_secs(10),
            queue_events: 10_000,
            queue_size: 32 << 20,
            max_event_size: 1 << 20,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(45),
            tls: true,
            tls_root_cert: None,
            sasl_mechanism: SaslMechanism::default(),
            sasl_username: String::new(),
            sasl_password: Secret::default(),
        }
    }
}

fn needed_by_kafka(backend: EventBusBackend) -> impl FnOnce(&String, &()) -> garde::Result {
    move |group, ()| match (backend, group.is_empty()) {
        (EventBusBackend::Kafka, true) => Err(garde::Error::new(
            "must name the consumer group when event_bus.backend is kafka",
        )),
        _ => Ok(()),
    }
}

fn needed_by_sasl(mechanism: SaslMechanism) -> impl FnOnce(&String, &()) -> garde::Result {
    move |username, ()| match (mechanism, username.is_empty()) {
        (SaslMechanism::None, _) | (_, false) => Ok(()),
        _ => Err(garde::Error::new(
            "must name the user when event_bus.sasl_mechanism is set",
        )),
    }
}
