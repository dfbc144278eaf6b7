use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use cqi_errors::{Error, Result};
use fred::clients::Client;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::connection::{Connection, Failure};
use super::explain;
use super::hosts::Host;
use super::language;
use super::settings::Settings;

/// How long a server may be silent after a call got no answer in time, before its connection is
/// given up: a slow server keeps it, a frozen one does not.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often an unused connection is tried.
const IDLE: Duration = Duration::from_secs(10);
/// A connection that lived shorter does not count as a success.
const STABLE: Duration = Duration::from_secs(1);

/// A connection that is made again whenever it is lost, by a task that ends with this.
#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    state: RwLock<State>,
    /// A call got no answer in time.
    suspicion: Notify,
    /// Answers so far: while it grows, the server lives.
    answers: AtomicU64,
    reconnects: AtomicU64,
}

#[derive(Clone, Debug)]
enum State {
    Connected(Client),
    Failed(Arc<Failure>),
    Closed,
}

/// What the first attempts came to.
type First = std::result::Result<(), Failure>;

impl Link {
    /// Starts to connect; the receiver hears when there is a connection, or none after each host
    /// was tried once.
    pub(super) fn start(settings: Arc<Settings>) -> (Self, oneshot::Receiver<First>) {
        let host = settings.hosts[0].clone();
        let shared = Arc::new(Shared {
            settings,
            state: RwLock::new(State::Failed(Arc::new(explain::not_yet(&host)))),
            suspicion: Notify::new(),
            answers: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let (tell, first) = oneshot::channel();
        let task = tokio::spawn(supervise(Arc::clone(&shared), stopped, tell));
        let link = Self {
            shared,
            stop,
            task: Mutex::new(Some(task)),
        };
        (link, first)
    }

    /// Returns the client, or at once why there is none.
    pub(super) fn client(&self) -> Result<Client> {
        match &*self.shared.state() {
            State::Connected(client) => Ok(client.clone()),
            State::Failed(failure) => Err(Error::from(&**failure)),
            State::Closed => Err(Error::temporary("the cache is closed")),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(&*self.shared.state(), State::Connected(_))
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

    pub(super) async fn close(&self) {
        self.stop.send_replace(true);
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            // A supervisor that panicked has ended too.
            let _ = task.await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        // What it replaces, a client perhaps, is dropped outside of the lock.
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, state);
        drop(current);
        drop(before);
    }
}

/// Keeps the connection until it is told to stop.
async fn supervise(
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    tell: oneshot::Sender<First>,
) {
    let mut seeker = Seeker::new(&shared.settings, tell);
    let mut before = false;
    loop {
        let mut connection = tokio::select! {
            connection = seeker.seek(&shared) => connection,
            () = stopped(&mut stop) => break,
        };
        let host = connection.server().clone();
        shared.set(State::Connected(connection.client().clone()));
        seeker.report(Ok(()));
        if std::mem::replace(&mut before, true) {
            shared.reconnects.fetch_add(1, Ordering::Relaxed);
            tracing::info!(server = %host, "connected to redis again");
        }
        let since = Instant::now();
        let failure = tokio::select! {
            failure = watch(&shared, &mut connection, &host) => failure,
            () = stopped(&mut stop) => {
                shared.set(State::Closed);
                connection.close(shared.settings.command_timeout).await;
                break;
            }
        };
        tracing::warn!(server = %host, cause = %failure, "lost the connection to redis");
        shared.set(State::Failed(Arc::new(failure)));
        connection.end().await;
        if since.elapsed() >= STABLE {
            seeker.backoff.reset();
        }
    }
    shared.set(State::Closed);
}

/// Returns when it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error is a sender that is gone: nobody is left to stop for.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Tries one host after the other.
struct Seeker<'a> {
    settings: &'a Settings,
    attempts: usize,
    backoff: Backoff,
    tell: Option<oneshot::Sender<First>>,
    worst: Option<Failure>,
}

impl<'a> Seeker<'a> {
    fn new(settings: &'a Settings, tell: oneshot::Sender<First>) -> Self {
        Self {
            settings,
            attempts: 0,
            backoff: Backoff::default(),
            tell: Some(tell),
            worst: None,
        }
    }

    /// Returns a connection, when there is one.
    async fn seek(&mut self, shared: &Shared) -> Connection {
        loop {
            let hosts = &self.settings.hosts;
            if self.attempts >= hosts.len() {
                sleep(self.backoff.next()).await;
            }
            let host = &hosts[self.attempts % hosts.len()];
            self.attempts += 1;
            match Connection::open(self.settings, host).await {
                Ok(connection) => return connection,
                Err(mut failure) => {
                    if self.tell.is_some()
                        && !failure.is_permanent()
                        // A TLS server breaks off what is not TLS, and does not keep silent.
                        && (self.settings.uses_tls() || failure.cause.is_some())
                        && language::differs(self.settings, host).await
                    {
                        failure = explain::other_language(self.settings, host);
                    }
                    tracing::debug!(server = %host, cause = %failure, "cannot connect to redis");
                    shared.set(State::Failed(Arc::new(failure.clone())));
                    if self
                        .worst
                        .as_ref()
                        .is_none_or(|worst| !worst.is_permanent())
                    {
                        self.worst = Some(failure);
                    }
                    if self.attempts >= hosts.len()
                        && let Some(worst) = self.worst.clone()
                    {
                        self.report(Err(worst));
                    }
                }
            }
        }
    }

    fn report(&mut self, first: First) {
        if let Some(tell) = self.tell.take() {
            // Nobody listens when `connect` was dropped.
            let _ = tell.send(first);
        }
    }
}

/// Returns why the connection is of no more use, when it is not.
async fn watch(shared: &Shared, connection: &mut Connection, host: &Host) -> Failure {
    let patience = PATIENCE.max(shared.settings.command_timeout);
    loop {
        tokio::select! {
            error = connection.ended() => return explain::lost(&error, host),
            () = shared.suspicion.notified() => {}
            () = sleep(IDLE) => {}
        }
        let answers = shared.answers.load(Ordering::Relaxed);
        if !connection.answers(patience).await && shared.answers.load(Ordering::Relaxed) == answers
        {
            return explain::frozen(host);
        }
    }
}
