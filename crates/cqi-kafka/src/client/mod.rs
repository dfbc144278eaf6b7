//! The brokers of a cluster, and what they lead.

mod cluster;
mod control;
mod dial;
mod follow;
mod link;
mod list;
mod offsets;
mod partitions;
mod pauses;
mod refresh;
mod settings;

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use cqi_errors::{Error, Result};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Connector, Host};
use crate::wire::Api;
pub(crate) use cluster::{Cluster, Leader};
use control::Control;
use follow::Followed;
pub(crate) use follow::Interest;
pub(crate) use link::Link;
pub use offsets::{Isolation, ListedOffset, OffsetSpec};
pub(crate) use pauses::Pauses;
use refresh::{Refresher, Wishes};
pub use settings::ClientSettings;

/// How long one host is waited for before the next of the bootstrap list is tried as well: what RFC
/// 8305 recommends for the addresses of one host.
const BOOTSTRAP_STAGGER: Duration = Duration::from_millis(250);

/// How long a broker of the cluster is waited for before another is asked as well, where the timeout
/// leaves time for that: none answers metadata that slowly while it is well.
const STAGGER: Duration = Duration::from_secs(1);

/// A cluster of brokers, found again after each move.
///
/// Cheap to clone; its consumers and producers hold one. See [`close`](Self::close) for its end.
///
/// ```no_run
/// use cqi_kafka::{Client, ClientSettings};
///
/// # async fn example() -> cqi_errors::Result<()> {
/// let client = Client::connect(ClientSettings::new(["kafka-1:9092", "kafka-2:9092"])).await?;
/// println!("{} partitions", client.partitions("prices").await?);
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// The refresher; aborted with the last clone.
    task: Mutex<JoinSet<()>>,
}

/// What the client has in common with its task.
#[derive(Debug)]
struct Shared {
    settings: Arc<ClientSettings>,
    connector: Connector,
    bootstrap: Vec<Host>,
    cluster: watch::Sender<Arc<Cluster>>,
    followed: Arc<Followed>,
    wishes: watch::Sender<Wishes>,
    control: Control,
    /// A health check waits behind nobody else's request.
    health: Control,
    closed: watch::Sender<bool>,
    /// Why the refresher's last question got no answer.
    trouble: std::sync::Mutex<Option<Arc<str>>>,
}

impl Client {
    /// Connects to the first broker of the list that answers, and learns of the others.
    ///
    /// Hosts are not tried one after another: the next one is as soon as one fails, or has said
    /// nothing for 250 ms (less, where many are to be tried within `connect_timeout`). All fail
    /// within twice the `connect_timeout`.
    ///
    /// # Errors
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): a setting is wrong; the text says
    ///   which, and what is allowed.
    /// - [`Kind::Unauthorized`](cqi_errors::Kind::Unauthorized): a broker refused the credentials;
    ///   no other is asked.
    /// - [`Kind::Temporary`](cqi_errors::Kind::Temporary), [`Kind::Timeout`](cqi_errors::Kind::Timeout):
    ///   none answers; the text says of each host why.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind.
    pub async fn connect(settings: ClientSettings) -> Result<Self> {
        settings.validate()?;
        let shared = Arc::new(Shared::new(settings)?);
        shared
            .learn(shared.connect_timeout().saturating_mul(2))
            .await?;
        let mut task = JoinSet::new();
        task.spawn(Refresher::new(Arc::clone(&shared)).run());
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                task: Mutex::new(task),
            }),
        })
    }

    /// Says whether a broker answers, within `connect_timeout`: one round trip, for a health check.
    ///
    /// It has a connection of its own, which it keeps, and so waits behind no other request.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn check(&self) -> Result<()> {
        let shared = &self.inner.shared;
        let request = refresh::request(std::iter::empty());
        let timeout = shared.connect_timeout();
        let answer = shared.ask(&shared.health, &request, timeout);
        answer.await.map(drop)
    }

    /// Ends the client's task and waits for it; all its clones are closed with it.
    ///
    /// Close consumers and producers first: what they would ask then is refused. Calls of the client
    /// that are under way end with [`Kind::Cancelled`](cqi_errors::Kind::Cancelled). When the last
    /// clone is dropped without, the task is aborted.
    ///
    /// # Cancel safety
    /// When the future is dropped, the task ends all the same.
    pub async fn close(&self) {
        let shared = &self.inner.shared;
        shared.closed.send_replace(true);
        self.inner.task.lock().await.shutdown().await;
        shared.control.close().await;
        shared.health.close().await;
    }

    /// A connection of its own to a broker, opened with its first request and again when it broke.
    pub(crate) fn link(&self, node: i32) -> Link {
        Link::new(self.clone(), node)
    }

    /// Asks any broker that answers, on the connection that the client's own requests share.
    pub(crate) async fn ask<R: Api>(&self, request: &R, timeout: Duration) -> Result<R::Answer> {
        let shared = &self.inner.shared;
        shared.ask(&shared.control, request, timeout).await
    }

    /// Asks this broker, on the connection that the client's own requests share.
    pub(crate) async fn ask_node<R: Api>(
        &self,
        node: i32,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Answer> {
        self.check_open()?;
        let host = self.host(node)?;
        let control = &self.inner.shared.control;
        let answer = control.ask_host(&host, request, Instant::now() + timeout);
        answer.await.inspect_err(|_| self.refresh())
    }

    /// What is known of the cluster; changes arrive by themselves.
    pub(crate) fn cluster(&self) -> watch::Receiver<Arc<Cluster>> {
        self.inner.shared.cluster.subscribe()
    }

    /// Has these topics' metadata fetched now, and kept fresh.
    pub(crate) fn follow(&self, topics: BTreeSet<Arc<str>>) -> Interest {
        let shared = &self.inner.shared;
        let new = shared.followed.add(&topics);
        let mut additions = 0;
        shared.wishes.send_if_modified(|wishes| {
            wishes.additions += u64::from(new);
            additions = wishes.additions;
            new
        });
        Interest::new(Arc::clone(&shared.followed), topics, additions)
    }

    /// Says that what is known was wrong: it is fetched anew, not more often than the backoff allows.
    pub(crate) fn refresh(&self) {
        let wishes = &self.inner.shared.wishes;
        wishes.send_modify(|wishes| wishes.refreshes += 1);
    }

    /// How long a request of the client's own may take.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.inner.shared.settings.request_timeout
    }

    /// How long to wait before a request that failed is sent again.
    pub(crate) fn retry_pauses(&self) -> Pauses {
        let settings = &self.inner.shared.settings;
        Pauses::new(settings.retry_backoff, settings.retry_backoff_max)
    }

    /// `broker 1 (host:port)`, for messages.
    pub(crate) fn describe(&self, node: i32) -> String {
        match self.inner.shared.cluster.borrow().brokers.get(&node) {
            Some(host) => format!("broker {node} ({host})"),
            None => format!("broker {node}"),
        }
    }

    fn check_open(&self) -> Result<()> {
        self.inner.shared.check_open()
    }

    /// Waits until the client is closed, and says so.
    pub(crate) async fn closed(&self) -> Error {
        self.inner.shared.closed().await;
        dial::closed_error()
    }

    /// Why no broker answers, where none does.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        self.inner.shared.trouble()
    }

    /// Where a broker is.
    fn host(&self, node: i32) -> Result<Host> {
        let known = self
            .inner
            .shared
            .cluster
            .borrow()
            .brokers
            .get(&node)
            .cloned();
        known.ok_or_else(|| {
            self.refresh();
            Error::temporary(format!(
                "broker {node} is not among the brokers of the cluster at present; it may be restarting"
            ))
        })
    }
}

impl Shared {
    fn new(settings: ClientSettings) -> Result<Self> {
        let bootstrap = settings.hosts()?;
        let connector = Connector::new(settings.connection.clone());
        let settings = Arc::new(settings);
        Ok(Self {
            bootstrap,
            cluster: watch::Sender::default(),
            followed: Arc::default(),
            wishes: watch::Sender::default(),
            control: Control::new(&settings, &connector),
            health: Control::new(&settings, &connector),
            closed: watch::Sender::new(false),
            trouble: std::sync::Mutex::default(),
            settings,
            connector,
        })
    }

    fn connect_timeout(&self) -> Duration {
        self.settings.connection.connect_timeout
    }

    /// Asks the brokers that are known, and then those of the bootstrap list, for the first answer.
    async fn ask<R: Api>(
        &self,
        control: &Control,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Answer> {
        self.check_open()?;
        let mut hosts: Vec<Host> = self.cluster.borrow().brokers.values().cloned().collect();
        fastrand::shuffle(&mut hosts);
        let mut first = self.bootstrap.clone();
        fastrand::shuffle(&mut first);
        let stagger = match hosts.is_empty() {
            // The last one is to have as long as the first.
            true => {
                BOOTSTRAP_STAGGER.min(timeout / 2 / u32::try_from(first.len()).unwrap_or(u32::MAX))
            }
            false => STAGGER.min(timeout / 4),
        };
        first.retain(|host| !hosts.contains(host));
        hosts.append(&mut first);
        control
            .ask(request, hosts, stagger, Instant::now() + timeout)
            .await
    }

    fn check_open(&self) -> Result<()> {
        match *self.closed.borrow() {
            true => Err(dial::closed_error()),
            false => Ok(()),
        }
    }

    /// Waits until the client is closed.
    async fn closed(&self) {
        // The sender is held.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Why no broker answers, where none does.
    fn trouble(&self) -> Option<Arc<str>> {
        self.trouble_slot().clone()
    }

    fn trouble_slot(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
