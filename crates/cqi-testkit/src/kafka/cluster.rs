use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cqi_errors::{Error, Result};

use super::admin::Brokers;
use super::broker::KafkaBroker;
use super::builder::{KafkaBuilder, Options};
use super::distribution::{Distribution, NEWEST, OLDEST};
use super::launch::{self, Mode, Node, START};
use super::listener::Listener;
use super::zookeeper::ZooKeeper;
use super::{shared, training};
use crate::postgres::blocking;
use crate::supervisor::{Supervisor, token};
use crate::wait::Deadline;

/// Brokers of one's own, to stop, kill and freeze; or topics on brokers that others use too.
///
/// When the last handle is dropped, or the process that holds it ends in whatever way, brokers of
/// one's own are stopped and their files are removed.
#[derive(Clone, Debug)]
pub struct Kafka {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) brokers: Vec<KafkaBroker>,
    /// Where clients go that need neither TLS nor a user.
    pub(super) bootstrap: String,
    pub(super) admin: Brokers,
    pub(super) version: Option<String>,
    /// Topics to remove at the end, on brokers that stay.
    pub(super) guests: Option<Mutex<Vec<String>>>,
    /// Ends after the brokers.
    pub(super) _zookeeper: Option<ZooKeeper>,
    /// Keeps for the other tests of the run what was found out about docker compose.
    pub(super) _run: Option<Supervisor>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("version", &self.version)
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

impl Kafka {
    /// Takes the broker that the tests of this run share, starting it where this is the first; where
    /// somebody runs brokers for the tests, takes those.
    ///
    /// Make topics with [`topic`](Self::topic) and names of groups with [`unique`](Self::unique):
    /// other tests are on the same broker. It neither dies nor freezes at a test's word:
    /// `Kafka::builder().private()` starts one that does.
    ///
    /// # Errors
    /// As [`KafkaBuilder::start`].
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the broker ends with the run.
    pub async fn start() -> Result<Self> {
        blocking(Self::start_blocking).await
    }

    /// Takes the broker as [`start`](Self::start) does, on this thread.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_blocking() -> Result<Self> {
        match shared::offered()? {
            Some(kafka) => Ok(kafka),
            None => shared::of_run(None),
        }
    }

    /// Takes the run's shared broker of a version such as `3.9.2`, whatever else runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_version(version: impl Into<String>) -> Result<Self> {
        let version = version.into();
        blocking(move || shared::of_run(Some(&version))).await
    }

    /// Returns the versions that a suite is to run on: those in `CQI_TEST_KAFKA_VERSIONS`, with commas
    /// between, else the oldest and the newest that are known to work, 3.0.2 and 4.3.0.
    #[must_use]
    pub fn versions() -> Vec<String> {
        let named = std::env::var("CQI_TEST_KAFKA_VERSIONS").unwrap_or_default();
        let named = named.split(',').map(str::trim);
        let named: Vec<String> = named
            .filter(|version| !version.is_empty())
            .map(str::to_owned)
            .collect();
        match named.is_empty() {
            true => [OLDEST, NEWEST].map(str::to_owned).into(),
            false => named,
        }
    }

    /// Takes the brokers that somebody else runs for the tests, where somebody does; blocks.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn offered_blocking() -> Result<Option<Self>> {
        shared::offered()
    }

    /// Downloads a version and prepares its starts, unless that was done; blocks.
    ///
    /// The first to start a version does so by itself. Called before the tests, it keeps a slow
    /// network out of their times.
    ///
    /// # Errors
    /// As [`KafkaBuilder::start`].
    pub fn fetch_blocking(version: &str) -> Result<()> {
        Distribution::find(Some(version))?.training().map(drop)
    }

    /// Says what brokers of one's own are to be like.
    pub fn builder() -> KafkaBuilder {
        KafkaBuilder::default()
    }

    /// Starts brokers of one's own.
    pub(super) fn launch(distribution: &Distribution, options: &Options) -> Result<Self> {
        let deadline = Deadline::after(START);
        loop {
            match start(distribution, options) {
                Err(error) if launch::port_is_taken(&error) && !deadline.passed() => {}
                outcome => return outcome,
            }
        }
    }

    /// Returns hosts and ports for clients to begin with, `127.0.0.1:9092,127.0.0.1:9093`, for
    /// [`Listener::Plaintext`].
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.inner.bootstrap.clone()
    }

    /// Returns what [`bootstrap`](Self::bootstrap) does for another listener.
    ///
    /// # Panics
    /// As [`KafkaBroker::address`].
    #[must_use]
    pub fn bootstrap_of(&self, listener: Listener) -> String {
        let addresses = self.brokers().iter().map(|broker| broker.address(listener));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Returns the version; none, where somebody else runs the brokers.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.inner.version.as_deref()
    }

    /// Returns the brokers, by their ids; none, where somebody else runs them.
    #[must_use]
    pub fn brokers(&self) -> &[KafkaBroker] {
        &self.inner.brokers
    }

    /// Returns a broker by its id, 1 and upwards.
    ///
    /// # Panics
    /// When there is none with this id, or somebody else runs the brokers.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "a test that asks for what it has not made has failed"
    )]
    pub fn broker(&self, id: i32) -> &KafkaBroker {
        let broker = self.brokers().iter().find(|broker| broker.id() == id);
        broker.unwrap_or_else(|| panic!("no broker {id} among {:?}", self.brokers()))
    }

    /// Makes a name that nobody else has, such as `orders-0123456789abcdef`.
    #[must_use]
    pub fn unique(&self, name: &str) -> String {
        format!("{name}-{}", token())
    }

    /// Creates a topic of this test's own, with as many replicas as there are brokers, 3 at most, and
    /// returns its name, which begins as given.
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic).
    ///
    /// # Cancel safety
    /// As [`create_topic`](Self::create_topic).
    pub async fn topic(&self, name: &str, partitions: i32) -> Result<String> {
        let name = self.unique(name);
        // On brokers that somebody else runs, their default.
        let replication = match self.brokers().len().min(3) {
            0 => -1,
            count => i16::try_from(count).unwrap_or(3),
        };
        self.create_topic(&name, partitions, replication).await?;
        Ok(name)
    }

    /// Creates a topic; returns when every broker that answers knows the leaders of its partitions,
    /// after 60 s at most.
    ///
    /// On brokers that somebody else runs, it is removed when the last handle is dropped.
    ///
    /// # Errors
    /// - [`Kind::Conflict`](cqi_errors::Kind::Conflict): there is one of this name.
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): Kafka does not allow the name or one
    ///   of the numbers.
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): no broker has done it in time.
    ///
    /// # Cancel safety
    /// When the future is dropped, the topic is still created.
    pub async fn create_topic(&self, name: &str, partitions: i32, replication: i16) -> Result<()> {
        self.create_topic_with(name, partitions, replication, &[])
            .await
    }

    /// Creates a topic as [`create_topic`](Self::create_topic) does, with settings such as
    /// `("cleanup.policy", "compact")`.
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic); [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput)
    /// for a setting that Kafka does not allow too.
    ///
    /// # Cancel safety
    /// As [`create_topic`](Self::create_topic).
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        replication: i16,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let settings: Vec<(String, String)> = settings
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let name = name.to_owned();
        self.ask(move |inner| {
            inner
                .admin
                .create_topic(&name, partitions, replication, &settings)?;
            if let Some(guests) = &inner.guests {
                guests
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(name);
            }
            Ok(())
        })
        .await
    }

    /// Raises the number of a topic's partitions to `total`; returns as
    /// [`create_topic`](Self::create_topic) does.
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic), and [`Kind::NotFound`](cqi_errors::Kind::NotFound).
    ///
    /// # Cancel safety
    /// When the future is dropped, the partitions are still added.
    pub async fn add_partitions(&self, topic: &str, total: i32) -> Result<()> {
        let topic = topic.to_owned();
        self.ask(move |inner| inner.admin.add_partitions(&topic, total))
            .await
    }

    /// Deletes a topic; returns when every broker that answers has forgotten it, after 60 s at most.
    ///
    /// # Errors
    /// [`Kind::NotFound`](cqi_errors::Kind::NotFound), and [`Kind::Timeout`](cqi_errors::Kind::Timeout)
    /// as [`create_topic`](Self::create_topic).
    ///
    /// # Cancel safety
    /// When the future is dropped, the topic is still deleted.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let topic = topic.to_owned();
        self.ask(move |inner| inner.admin.delete_topic(&topic))
            .await
    }

    /// Returns the id of the broker that leads a partition, as the first one says that answers.
    ///
    /// # Errors
    /// [`Kind::Temporary`](cqi_errors::Kind::Temporary) while there is no leader or no broker answers.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        let topic = topic.to_owned();
        self.ask(move |inner| inner.admin.leader(&topic, partition))
            .await
    }

    /// Returns the id of the active controller: what Kafka's metadata call so is any broker.
    ///
    /// # Errors
    /// [`Kind::Temporary`](cqi_errors::Kind::Temporary) while there is none;
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) on brokers that others use.
    pub async fn controller(&self) -> Result<i32> {
        self.ask(|inner| {
            let ports = inner
                .brokers
                .iter()
                .map(|broker| broker.inner.node.controller);
            let ports: Vec<u16> = ports.filter(|port| *port != 0).collect();
            if ports.is_empty() {
                return Err(Error::conflict(
                    "the controller is known of brokers of one's own alone",
                ));
            }
            Brokers::local(ports).controller()
        })
        .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }
}

fn start(distribution: &Distribution, options: &Options) -> Result<Kafka> {
    let zookeeper = match ZooKeeper::is_needed(distribution, options) {
        true => Some(ZooKeeper::start(distribution, options)?),
        false => None,
    };
    let cluster = training::new_cluster();
    let mode = match &zookeeper {
        Some(zookeeper) => Mode::ZooKeeper(zookeeper.port),
        None => Mode::Raft(&cluster),
    };
    let ids = (1..).take(options.brokers);
    let nodes = ids.map(|id| Node::plan(id, options));
    let nodes: Vec<Node> = nodes.collect::<Result<_>>()?;
    let mut started = Vec::new();
    for node in &nodes {
        let supervisor = Supervisor::private()?;
        let command = launch::prepare(&supervisor, distribution, options, (node, &nodes), mode)?;
        launch::run(&supervisor, &command)?;
        started.push((supervisor, command));
    }
    let supervisors = started.iter().map(|(supervisor, _)| supervisor);
    let brokers: Vec<_> = supervisors.zip(&nodes).collect();
    launch::wait_until_ready(&brokers, nodes.len(), Deadline::after(START))?;
    let bootstrap = nodes
        .iter()
        .filter_map(|node| node.endpoint(Listener::Plaintext));
    let bootstrap: Vec<String> = bootstrap.map(launch::Endpoint::address).collect();
    let admin = Brokers::local(nodes.iter().map(|node| node.internal().port));
    let brokers = nodes.into_iter().zip(started);
    let brokers = brokers
        .map(|(node, (supervisor, command))| KafkaBroker::new(node, supervisor, Some(command)));
    let inner = Inner {
        brokers: brokers.collect(),
        bootstrap: bootstrap.join(","),
        admin,
        version: Some(distribution.version.clone()),
        guests: None,
        _zookeeper: zookeeper,
        _run: None,
    };
    Ok(Kafka {
        inner: Arc::new(inner),
    })
}
