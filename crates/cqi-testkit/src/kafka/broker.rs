use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cqi_errors::{Error, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::launch::{self, Node, SERVER, START};
use super::listener::Listener;
use super::zookeeper;
use crate::postgres::blocking;
use crate::supervisor::Supervisor;
use crate::wait::Deadline;
use crate::{Proxy, process};

/// How long a broker may take to stop in peace.
const STOP: Duration = Duration::from_secs(5);

/// How long a process may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// A broker, which is a controller as well; belongs to a [`Kafka`](super::Kafka).
///
/// Broker and files stay for as long as a handle exists.
#[derive(Clone, Debug)]
pub struct KafkaBroker {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) node: Node,
    pub(super) supervisor: Supervisor,
    /// What starts it; nothing, where the tests of a run share the broker.
    pub(super) command: Option<Vec<String>>,
    /// Held while the broker changes between running and not.
    pub(super) change: Mutex<()>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.node.internal().address();
        write!(f, "{} at {address}", self.node.id)
    }
}

impl KafkaBroker {
    pub(super) fn new(node: Node, supervisor: Supervisor, command: Option<Vec<String>>) -> Self {
        let inner = Inner {
            node,
            supervisor,
            command,
            change: Mutex::new(()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Returns its id, as Kafka's metadata name it: 1 and upwards.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.inner.node.id
    }

    /// Returns host and port of a listener, `127.0.0.1:9092`, or of the proxy in front of it; the
    /// port stays the same over restarts.
    ///
    /// # Panics
    /// When the builder was not told of what the listener needs: TLS, users or both.
    #[must_use]
    pub fn address(&self, listener: Listener) -> String {
        self.endpoint(listener).address()
    }

    /// Returns the proxy in front of a listener.
    ///
    /// # Panics
    /// When the builder was not told [`proxied`](super::KafkaBuilder::proxied), or not of what the
    /// listener needs.
    #[expect(
        clippy::panic,
        reason = "a test that asks for what it has not made has failed"
    )]
    pub fn proxy(&self, listener: Listener) -> &Proxy {
        let proxy = self.endpoint(listener).proxy.as_ref();
        proxy.unwrap_or_else(|| panic!("no proxies: start Kafka with `Kafka::builder().proxied()`"))
    }

    #[expect(
        clippy::panic,
        reason = "a test that asks for what it has not made has failed"
    )]
    fn endpoint(&self, listener: Listener) -> &launch::Endpoint {
        let endpoint = self.inner.node.endpoint(listener);
        endpoint.unwrap_or_else(|| {
            panic!("no listener {listener}: its builder needs `tls` or a user, or both")
        })
    }

    /// Returns what the broker has written to its log so far: warnings and errors.
    #[must_use]
    pub fn log(&self) -> String {
        self.inner.supervisor.log(SERVER)
    }

    /// Says whether the broker's process is there, be it frozen.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.inner.pid().is_some()
    }

    /// Returns the id of the broker's process, to measure it.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.inner
            .pid()
            .and_then(|pid| pid.as_raw().try_into().ok())
    }

    /// Kills the broker with SIGKILL, as a crash would; returns when it is gone.
    ///
    /// What it acknowledged is in its files, which [`restart`](Self::restart) reads. Blocks for some
    /// milliseconds. Does nothing to a broker that is not running.
    ///
    /// # Errors
    /// - [`Kind::Conflict`](cqi_errors::Kind::Conflict): the broker is not the test's own.
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): it was not gone within 10 s.
    pub fn kill(&self) -> Result<()> {
        self.inner.command()?;
        let _change = self.inner.lock();
        self.inner.kill()
    }

    /// Stops the broker as an operator would; returns when it is gone.
    ///
    /// One that has not ended after 5 s is killed. Does nothing to a broker that is not running.
    ///
    /// # Errors
    /// As [`kill`](Self::kill).
    pub fn stop(&self) -> Result<()> {
        self.inner.command()?;
        let _change = self.inner.lock();
        self.inner.stop()
    }

    /// Stops the broker if it runs, and starts it with the same ports, settings and files; returns
    /// when it answers and counts itself among the brokers, after 60 s at most.
    ///
    /// It does so when most of the brokers run, as controllers need: with fewer, restart them at once.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`KafkaBuilder::start`](super::KafkaBuilder::start).
    ///
    /// # Cancel safety
    /// When the future is dropped, the broker goes on restarting.
    pub async fn restart(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let command = inner.command()?;
            let _change = inner.lock();
            inner.stop()?;
            let broker = [(&inner.supervisor, &inner.node)];
            let deadline = Deadline::after(START);
            loop {
                launch::run(&inner.supervisor, command)?;
                match launch::wait_until_ready(&broker, 1, deadline) {
                    Err(error) if zookeeper::remembers(&error) && !deadline.passed() => {}
                    outcome => return outcome,
                }
            }
        })
        .await
    }

    /// Freezes the broker with SIGSTOP: connections stay open, and nothing answers.
    ///
    /// The system goes on to accept new connections for it, up to its backlog.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) when the broker is not running, or not the
    /// test's own.
    pub fn freeze(&self) -> Result<()> {
        self.inner.command()?;
        let _change = self.inner.lock();
        process::freeze(self.inner.running()?)
    }

    /// Lets a frozen broker go on.
    ///
    /// # Errors
    /// As [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.inner.command()?;
        let _change = self.inner.lock();
        process::thaw(self.inner.running()?)
    }
}

impl Inner {
    fn command(&self) -> Result<&[String]> {
        self.command.as_deref().ok_or_else(|| {
            Error::conflict(format!(
                "Kafka's broker {self:?} is not this test's own; \
                 start one that is with `Kafka::builder().private()`"
            ))
        })
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards no data that a panic could have left half-changed.
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pid(&self) -> Option<Pid> {
        match self.supervisor.exit(SERVER) {
            Some(_) => None,
            None => self.supervisor.pid(SERVER),
        }
    }

    fn running(&self) -> Result<Pid> {
        self.pid()
            .ok_or_else(|| Error::conflict("the test broker is not running; restart it first"))
    }

    fn kill(&self) -> Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        process::crash(pid)?;
        launch::wait_for_end(&self.supervisor, GONE)
    }

    fn stop(&self) -> Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        // A frozen broker would not notice.
        process::thaw(pid)?;
        process::send(pid, Signal::SIGTERM)?;
        launch::wait_for_end(&self.supervisor, STOP).or_else(|_| self.kill())
    }
}
