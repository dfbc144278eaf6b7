use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::connection::{ConnectionSettings, Host};

/// The longest duration that a setting may have: a day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How to reach a cluster: where it is, how often it is asked and how long it is waited for.
///
/// ```
/// use std::time::Duration;
///
/// use cqi_kafka::ClientSettings;
///
/// let mut settings = ClientSettings::new(["kafka-1:9092", "kafka-2:9092", "[2001:db8::7]:9092"]);
/// settings.request_timeout = Duration::from_secs(10);
/// assert!(settings.validate().is_ok());
/// assert!(ClientSettings::new(["kafka-1"]).validate().is_err()); // the port is missing
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientSettings {
    /// The brokers to begin with, `host:port` each, an IPv6 address in brackets; one entry may hold
    /// several, separated by commas (`bootstrap.servers`).
    ///
    /// Some of the cluster's brokers will do: it names the others. When none of those that it named
    /// answers any more, these are asked again.
    pub bootstrap: Vec<String>,
    /// How to talk to one broker: timeouts, limits, TLS and SASL.
    pub connection: ConnectionSettings,
    /// How long a broker may take to answer a request of the client's own, from 1 ms to a day
    /// (`request.timeout.ms`). Default 30 s.
    pub request_timeout: Duration,
    /// After how long what is known of topics and their leaders is asked for anew, without a reason
    /// to, from 1 ms to a day (`metadata.max.age.ms`). Default 5 min.
    ///
    /// So long it may take until partitions are noticed that were added to a topic. Moved leaders are
    /// noticed when they refuse a request.
    pub metadata_max_age: Duration,
    /// The pause between the first two attempts to connect to a broker, from 1 ms to a day
    /// (`reconnect.backoff.ms`). Default 50 ms.
    ///
    /// Pauses double, and each is shortened by up to a fifth at random, so that clients which lost a
    /// broker together do not come back together.
    pub reconnect_backoff: Duration,
    /// The longest pause between two attempts to connect, from `reconnect_backoff` to a day
    /// (`reconnect.backoff.max.ms`). Default 1 s.
    pub reconnect_backoff_max: Duration,
    /// The pause before the first repetition of a request that failed, from 1 ms to a day
    /// (`retry.backoff.ms`). Default 100 ms. They grow as those between connections.
    pub retry_backoff: Duration,
    /// The longest pause before a repetition, from `retry_backoff` to a day
    /// (`retry.backoff.max.ms`). Default 1 s.
    pub retry_backoff_max: Duration,
}

impl ClientSettings {
    /// Makes settings with defaults for all but where the cluster is: `host:port` for each of some
    /// of its brokers.
    #[must_use]
    pub fn new(bootstrap: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            connection: ConnectionSettings::default(),
            request_timeout: Duration::from_secs(30),
            metadata_max_age: Duration::from_secs(5 * 60),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
        }
    }

    /// Checks each value; [`Client::connect`](crate::Client::connect) does so first.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput) that names the setting, its value and
    /// what is allowed.
    pub fn validate(&self) -> Result<()> {
        self.hosts()?;
        self.connection.validate()?;
        let least = Duration::from_millis(1);
        let bounds = [
            (
                "connection.connect_timeout",
                self.connection.connect_timeout,
                least,
            ),
            ("request_timeout", self.request_timeout, least),
            ("metadata_max_age", self.metadata_max_age, least),
            ("reconnect_backoff", self.reconnect_backoff, least),
            (
                "reconnect_backoff_max",
                self.reconnect_backoff_max,
                self.reconnect_backoff,
            ),
            ("retry_backoff", self.retry_backoff, least),
            (
                "retry_backoff_max",
                self.retry_backoff_max,
                self.retry_backoff,
            ),
        ];
        for (name, value, least) in bounds {
            if !(least..=DAY).contains(&value) {
                let problem = format!("is {value:?}; allowed are {least:?} to 24 h");
                return Err(Error::invalid_input(name, problem));
            }
        }
        Ok(())
    }

    /// The brokers to begin with, each once.
    pub(super) fn hosts(&self) -> Result<Vec<Host>> {
        let entries = self.bootstrap.iter().flat_map(|entry| entry.split(','));
        let mut hosts = Vec::new();
        for entry in entries.map(str::trim).filter(|entry| !entry.is_empty()) {
            let host = parse(entry)?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        if hosts.is_empty() {
            let problem = "is empty; name at least one broker as host:port";
            return Err(Error::invalid_input("bootstrap", problem));
        }
        Ok(hosts)
    }
}

fn parse(entry: &str) -> Result<Host> {
    let refused = |problem: &str| {
        let problem =
            format!("{entry:?} {problem}; write host:port, an IPv6 address as [2001:db8::7]:9092");
        Error::invalid_input("bootstrap", problem)
    };
    let (name, port) = match entry.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest
                .split_once(']')
                .ok_or_else(|| refused("has no closing bracket"))?;
            let known = address.split('%').next().unwrap_or(address);
            if known.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(refused("has no IPv6 address in its brackets"));
            }
            let port = rest.strip_prefix(':');
            (address, port.ok_or_else(|| refused("has no port"))?)
        }
        None => {
            let (name, port) = entry
                .rsplit_once(':')
                .ok_or_else(|| refused("has no port"))?;
            if name.contains("://") {
                return Err(refused("has a scheme, which is not written here"));
            }
            if name.contains(':') {
                return Err(refused("has more than one colon"));
            }
            (name, port)
        }
    };
    if name.is_empty() {
        return Err(refused("has no host"));
    }
    if name.contains(|c: char| c.is_whitespace() || c.is_control() || "/@\\".contains(c)) {
        return Err(refused("has a character that no host has"));
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if port != 0 && digits => Ok(Host {
            name: name.into(),
            port,
        }),
        _ => Err(refused("has no port from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entry: &str) -> Result<Vec<(String, u16)>> {
        let hosts = ClientSettings::new([entry]).hosts()?;
        let pairs = hosts.iter().map(|host| (host.name.to_string(), host.port));
        Ok(pairs.collect())
    }

    #[test]
    fn hosts_are_read_with_their_ports() {
        let cases: [(&str, &[(&str, u16)]); 5] = [
            ("a:9092", &[("a", 9092)]),
            ("[::1]:1", &[("::1", 1)]),
            ("[fe80::1%eth0]:65535", &[("fe80::1%eth0", 65535)]),
            (" a:1 , b:2,a:1,", &[("a", 1), ("b", 2)]),
            ("127.0.0.1:9092", &[("127.0.0.1", 9092)]),
        ];
        for (entry, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(n, p)| ((*n).to_owned(), *p))
                .collect();
            assert_eq!(hosts(entry).unwrap(), expected, "{entry}");
        }
    }

    #[test]
    fn an_entry_that_is_no_host_is_named() {
        let entries = [
            "kafka",
            "kafka:",
            ":9092",
            "kafka:0",
            "kafka:65536",
            "kafka:+1",
            "kafka:-1",
            "::1:9092",
            "[::1]",
            "[::1]9092",
            "[::1:9092",
            "[kafka]:9092",
            "PLAINTEXT://kafka:9092",
            "ka fka:9092",
            "user@kafka:9092",
            "",
            " , ",
        ];
        for entry in entries {
            let error = hosts(entry).unwrap_err();
            assert_eq!(error.field(), Some("bootstrap"), "{error:#}");
            assert!(
                error.to_string().contains(entry.trim_matches([' ', ','])),
                "{error:#}"
            );
            assert!(error.to_string().contains("host:port"), "{error:#}");
        }
    }

    #[test]
    fn a_duration_out_of_range_is_named_with_what_is_allowed() {
        type Change = fn(&mut ClientSettings);
        let change: [(&str, Change); 7] = [
            ("connection.connect_timeout", |s| {
                s.connection.connect_timeout = Duration::MAX;
            }),
            ("request_timeout", |s| s.request_timeout = Duration::ZERO),
            ("metadata_max_age", |s| s.metadata_max_age = DAY * 2),
            ("reconnect_backoff", |s| {
                s.reconnect_backoff = Duration::ZERO;
            }),
            ("reconnect_backoff_max", |s| {
                s.reconnect_backoff_max = Duration::from_millis(49);
            }),
            ("retry_backoff", |s| {
                s.retry_backoff = Duration::from_nanos(1);
            }),
            ("retry_backoff_max", |s| s.retry_backoff_max = Duration::MAX),
        ];
        for (name, change) in change {
            let mut settings = ClientSettings::new(["a:1"]);
            settings.validate().unwrap();
            change(&mut settings);
            let error = settings.validate().unwrap_err();
            assert_eq!(error.field(), Some(name), "{error:#}");
            assert!(error.to_string().contains("allowed are"), "{error:#}");
        }
    }
}
