use std::fmt;

use cqi_errors::{Error, Result};

use super::Kafka;
use super::distribution::Distribution;
use crate::postgres::blocking;

/// The most brokers that are started at once.
const MOST: usize = 9;

/// What brokers are started with.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) brokers: usize,
    pub(super) settings: Vec<(String, String)>,
    /// Users and passwords.
    pub(super) plain: Vec<(String, String)>,
    pub(super) scram: Vec<(String, String)>,
    pub(super) proxied: bool,
    pub(super) java: Option<Vec<String>>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<super::tls::Tls>,
    #[cfg(feature = "tls")]
    pub(super) certificates: Option<crate::certificates::Certificates>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            brokers: 1,
            settings: Vec::new(),
            plain: Vec::new(),
            scram: Vec::new(),
            proxied: false,
            java: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            certificates: None,
        }
    }
}

impl Options {
    pub(super) fn has_users(&self) -> bool {
        !self.plain.is_empty() || !self.scram.is_empty()
    }

    pub(super) fn encrypts(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// Says what brokers of one's own are to be like; made by [`Kafka::builder`].
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct KafkaBuilder {
    pub(super) version: Option<String>,
    pub(super) options: Options,
}

impl KafkaBuilder {
    /// Sets the version, such as `3.9.2`; by default that in `KAFKA_HOME`, else 4.3.0.
    ///
    /// Known to work are 3.0.2, 3.9.2 and 4.3.0.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets how many brokers there are, 1 by default and 9 at most; each is a controller too.
    ///
    /// With three, topics of three replicas and Kafka's own survive the death of one: records and
    /// offsets are acknowledged when two have them (`min.insync.replicas`).
    pub fn brokers(mut self, count: usize) -> Self {
        self.options.brokers = count;
        self
    }

    /// Sets a parameter of `server.properties`, such as `message.max.bytes`; the last value wins.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.settings.push((name.into(), value.into()));
        self
    }

    /// Adds a user who logs in by SASL PLAIN, and the listeners for it:
    /// [`Listener::SaslPlaintext`](super::Listener::SaslPlaintext), with TLS
    /// [`Listener::SaslSsl`](super::Listener::SaslSsl) too.
    ///
    /// The name has letters, digits, `.`, `-` and `_`; the password any characters.
    pub fn sasl_plain(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.options.plain.push((user.into(), password.into()));
        self
    }

    /// Adds a user who logs in by SASL SCRAM-SHA-256 or SCRAM-SHA-512, and the listeners as
    /// [`sasl_plain`](Self::sasl_plain) does.
    ///
    /// The password holds none of `, = [ ] " '`. Kafka before 3.5 has such users with ZooKeeper
    /// alone, which is started then, with one broker at most; making the users takes seconds more.
    pub fn scram(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.options.scram.push((user.into(), password.into()));
        self
    }

    /// Puts a [`Proxy`](crate::Proxy) in front of every listener of every broker, and advertises
    /// their addresses: clients stay behind them. See [`KafkaBroker::proxy`](super::KafkaBroker::proxy).
    ///
    /// Brokers reach each other, and the test's own calls reach them, beside the proxies.
    pub fn proxied(mut self) -> Self {
        self.options.proxied = true;
        self
    }

    /// Replaces the options of the Java machine, which are made for a fast start: 256 MiB of heap,
    /// the serial collector, one stage of the compiler.
    ///
    /// For measurements: `["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"]`.
    pub fn java_options<O: Into<String>>(mut self, options: impl IntoIterator<Item = O>) -> Self {
        self.options.java = Some(options.into_iter().map(Into::into).collect());
        self
    }

    /// Makes the brokers private, which they are in any case; says so to the reader.
    pub fn private(self) -> Self {
        self
    }

    /// Starts the brokers and waits until all answer and know each other, 60 s at most.
    ///
    /// The first start of a version on a machine takes half a minute more: Kafka is downloaded, and
    /// started once to make the later starts short.
    ///
    /// # Errors
    /// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): Kafka or Java are missing (with the line
    ///   that installs what is) or do not start (with the end of the log).
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): there is no such version, or a
    ///   setting, user or password cannot stand in Kafka's files.
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): the brokers were not ready in time.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the brokers end once they have started.
    pub async fn start(self) -> Result<Kafka> {
        blocking(move || self.start_blocking()).await
    }

    /// Starts the brokers as [`start`](Self::start) does, on this thread.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_mut, reason = "only certificates are added")
    )]
    pub fn start_blocking(mut self) -> Result<Kafka> {
        if !(1..=MOST).contains(&self.options.brokers) {
            let problem = format!("are {}; allowed are 1 to {MOST}", self.options.brokers);
            return Err(Error::invalid_input("brokers", problem));
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.options.tls {
            let certificates = crate::certificates::Certificates::make(&tls.hosts, "client")?;
            self.options.certificates = Some(certificates);
        }
        let distribution = Distribution::find(self.version.as_deref())?;
        Kafka::launch(&distribution, &self.options)
    }
}

impl fmt::Debug for KafkaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings may hold passwords as well.
        f.debug_struct("KafkaBuilder")
            .field("version", &self.version)
            .field("brokers", &self.options.brokers)
            .finish_non_exhaustive()
    }
}
