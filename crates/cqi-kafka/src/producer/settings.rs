use std::time::Duration;

use cqi_errors::{Error, Result};

/// How a [`Producer`](super::Producer) sends.
///
/// ```
/// use std::time::Duration;
///
/// use cqi_kafka::producer::ProducerSettings;
///
/// let mut settings = ProducerSettings::default();
/// settings.delivery_timeout = Duration::from_secs(30);
/// settings.request_timeout = Duration::from_secs(10);
/// assert!(settings.validate().is_ok());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProducerSettings {
    /// Over how many connections a broker is sent batches, from 1 to 16; each partition keeps to one.
    /// Default 4.
    ///
    /// A broker serves the requests of a connection one after another, those of several at once.
    /// Partitions take connections in turn, which are opened then. The Java client has one; brokers may
    /// limit how many there are (`max.connections.per.ip`).
    pub connections_per_broker: usize,
    /// How many requests of a connection, and batches of a partition, may await their answers, from 1
    /// to 5 (`max.in.flight.requests.per.connection`). Default 5: what brokers can tell apart.
    pub max_in_flight: usize,
    /// Within which time from [`send`](super::Producer::send) a batch has its outcome, at least
    /// `request_timeout` and at most a day (`delivery.timeout.ms`). Default 120 s.
    pub delivery_timeout: Duration,
    /// How long a broker may take to answer, from 1 ms (`request.timeout.ms`). Default 30 s.
    ///
    /// A broker that takes longer is sent the same again, over another connection.
    pub request_timeout: Duration,
    /// How long [`send`](super::Producer::send) waits for the topic to be found and for room, up to
    /// a day (`max.block.ms`). Default 60 s.
    pub max_block: Duration,
    /// How many bytes of batches may be without an outcome, up to 4 GiB (`buffer.memory`). Default
    /// 32 MiB.
    pub max_buffered_bytes: usize,
    /// Largest request, with at least one batch in it, and largest batch, in bytes
    /// (`max.request.size`). Default 1 MiB.
    pub max_request_bytes: usize,
    /// The pause of a partition after a failed attempt, from 1 ms (`retry.backoff.ms`). Default 100 ms.
    ///
    /// Pauses double, each within 20 % at random.
    pub retry_backoff: Duration,
    /// The longest pause, from `retry_backoff` to a day (`retry.backoff.max.ms`). Default 1 s.
    pub retry_backoff_max: Duration,
    /// How long a topic without new batches is kept track of, from 1 s to a day
    /// (`metadata.max.idle.ms`). Default 5 min.
    pub metadata_max_idle: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            connections_per_broker: 4,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            max_block: Duration::from_secs(60),
            max_buffered_bytes: 32 << 20,
            max_request_bytes: 1 << 20,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_idle: Duration::from_secs(5 * 60),
        }
    }
}

/// The longest duration that a setting may have: a day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

impl ProducerSettings {
    /// Makes the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks each value; [`Producer::start`](super::Producer::start) does so first.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput) that names the setting, its value and
    /// what is allowed.
    pub fn validate(&self) -> Result<()> {
        let durations = [
            ("request_timeout", self.request_timeout, MILLISECOND),
            (
                "delivery_timeout",
                self.delivery_timeout,
                self.request_timeout,
            ),
            ("max_block", self.max_block, Duration::ZERO),
            ("retry_backoff", self.retry_backoff, MILLISECOND),
            (
                "retry_backoff_max",
                self.retry_backoff_max,
                self.retry_backoff,
            ),
            (
                "metadata_max_idle",
                self.metadata_max_idle,
                Duration::from_secs(1),
            ),
        ];
        for (name, value, least) in durations {
            if !(least..=DAY).contains(&value) {
                let problem = format!("is {value:?}; allowed are {least:?} to 24 h");
                return Err(Error::invalid_input(name, problem));
            }
        }
        let sizes = [
            ("connections_per_broker", self.connections_per_broker, 16),
            ("max_in_flight", self.max_in_flight, 5),
            (
                "max_buffered_bytes",
                self.max_buffered_bytes,
                u32::MAX as usize,
            ),
            (
                "max_request_bytes",
                self.max_request_bytes,
                i32::MAX as usize,
            ),
        ];
        for (name, value, most) in sizes {
            if !(1..=most).contains(&value) {
                let problem = format!("is {value}; allowed are 1 to {most}");
                return Err(Error::invalid_input(name, problem));
            }
        }
        Ok(())
    }
}
