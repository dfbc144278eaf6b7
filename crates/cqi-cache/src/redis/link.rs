use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use cqi_errors::{Error, Result};
use fred::clients::Client;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::connection::Failure;
use super::explain;
use super::hosts::Host;
use super::lane::Queue;
use super::settings::Settings;
use super::supervisor;

/// A connection that is made again whenever it is lost, by a task that ends with this.
#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// One, aborted when this is dropped.
    task: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    state: RwLock<State>,
    /// The server of the last connection; of a cluster, the first.
    server: RwLock<Host>,
    /// A call got no answer in time.
    pub(super) suspicion: Notify,
    /// A server said that it is not the one to ask.
    pub(super) misled: Notify,
    /// Answers so far: while it grows, the server lives.
    pub(super) answers: AtomicU64,
    pub(super) reconnects: AtomicU64,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Connected(Client, Option<Arc<Queue>>),
    Failed(Arc<Failure>),
    Closed,
}

/// What the first attempts came to.
pub(super) type First = std::result::Result<(), Failure>;

impl Link {
    /// Starts to connect; the receiver hears when there is a connection, or none after each host
    /// was tried once.
    pub(super) fn start(settings: Arc<Settings>) -> (Self, oneshot::Receiver<First>) {
        let host = settings.hosts[0].clone();
        let shared = Arc::new(Shared {
            settings,
            state: RwLock::new(State::Failed(Arc::new(explain::not_yet(&host)))),
            server: RwLock::new(host),
            suspicion: Notify::new(),
            misled: Notify::new(),
            answers: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let (tell, first) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(supervisor::supervise(Arc::clone(&shared), stopped, tell));
        let link = Self {
            shared,
            stop,
            task: Mutex::new(task),
        };
        (link, first)
    }

    /// Returns the client, or at once why there is none.
    pub(super) fn client(&self) -> Result<Client> {
        match &*self.shared.state() {
            State::Connected(client, _) => Ok(client.clone()),
            State::Failed(failure) => Err(Error::from(&**failure)),
            State::Closed => Err(Error::temporary("the cache is closed")),
        }
    }

    /// Returns the short way, where it is open.
    pub(super) fn lane(&self) -> Option<Arc<Queue>> {
        match &*self.shared.state() {
            State::Connected(_, lane) => lane.clone(),
            _ => None,
        }
    }

    /// The server that calls go to, for people.
    pub(super) fn server(&self) -> Host {
        let server = self.shared.server.read();
        server.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(&*self.shared.state(), State::Connected(..))
    }

    pub(super) fn reconnects(&self) -> u64 {
        self.shared.reconnects.load(Ordering::Relaxed)
    }

    /// Notes that the server answered.
    pub(super) fn answered(&self) {
        self.shared.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that it did not, in time: the connection is looked at.
    pub(super) fn suspect(&self) {
        self.shared.suspicion.notify_one();
    }

    /// Notes that the server is not, or no more, the one for this: another is looked for.
    pub(super) fn mislead(&self) {
        self.shared.misled.notify_one();
    }

    /// Begins to close the connection.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) async fn close(&self) {
        self.stop();
        let task = || self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let mut task = std::mem::take(&mut *task());
        // A supervisor that panicked has ended too.
        while task.join_next().await.is_some() {}
    }
}

impl Shared {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, state: State) {
        // What it replaces, a client perhaps, is dropped outside of the lock.
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, state);
        drop(current);
        drop(before);
    }

    pub(super) fn set_server(&self, host: &Host) {
        let mut server = self.server.write().unwrap_or_else(PoisonError::into_inner);
        server.clone_from(host);
    }

    /// Opens or closes the short way beside a connection.
    pub(super) fn set_lane(&self, queue: Option<Arc<Queue>>) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Connected(_, lane) = &mut *current {
            *lane = queue;
        }
    }
}
