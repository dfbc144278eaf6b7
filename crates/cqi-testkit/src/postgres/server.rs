use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cqi_errors::{Error, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::builder::{Options, PostgresBuilder};
use super::database::{Keeper, Removal};
use super::{Address, Database, admin, blocking, cluster};
use crate::supervisor::{Supervisor, token};
use crate::{Proxy, process};

/// How long a server may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// A PostgreSQL server of one's own, for tests that stop, kill or freeze it.
///
/// Its functions act on the whole server: the main process and all of its children. When the last
/// handle on it or on one of its databases is dropped, or the process that holds these ends in
/// whatever way, the server is stopped and its files are removed.
#[derive(Clone, Debug)]
#[must_use = "the server is stopped when this is dropped"]
pub struct Postgres {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) supervisor: Supervisor,
    pub(super) folder: PathBuf,
    pub(super) options: Options,
    pub(super) address: Address,
    /// Held while the server changes between running and not.
    pub(super) change: Mutex<()>,
    #[cfg(feature = "tls")]
    pub(super) files: super::tls::Files,
}

impl Postgres {
    /// Makes a database on the server that the tests of this run share, and starts that server if
    /// this is the first test.
    ///
    /// The server is found as [`Source::find`](crate::Source::find) says. A run is one invocation
    /// of cargo-nextest, else the process group, which all test binaries of one `cargo test` share.
    ///
    /// # Errors
    /// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): PostgreSQL is missing (with the line that
    ///   installs it) or does not start (with the end of its log).
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): it was not ready within 30 s, or another test
    ///   process kept starting it for 90 s.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: a database that is being made is removed.
    pub async fn start() -> Result<Database> {
        blocking(super::shared::database).await
    }

    /// Makes a database as [`start`](Postgres::start) does, on this thread.
    ///
    /// # Errors
    /// As [`start`](Postgres::start).
    pub fn start_blocking() -> Result<Database> {
        super::shared::database()
    }

    /// Says what a server of one's own is to be like.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    pub(super) fn launch(folder: PathBuf, options: Options) -> Result<Self> {
        let supervisor = Supervisor::private()?;
        cluster::initialise(&supervisor, &folder, &options)?;
        Self::run(supervisor, folder, options)
    }

    /// Starts the server on the data directory that the supervisor has.
    pub(super) fn run(supervisor: Supervisor, folder: PathBuf, options: Options) -> Result<Self> {
        let port = cluster::start(&supervisor, &folder, &options, None)?;
        let address = Address::local(port, options.password.as_deref(), supervisor.directory());
        let inner = Inner {
            #[cfg(feature = "tls")]
            files: super::tls::Files::of(supervisor.directory()),
            supervisor,
            folder,
            options,
            address,
            change: Mutex::new(()),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Returns the host to connect to.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.inner.address.host
    }

    /// Returns the port to connect to; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.inner.address.port
    }

    /// Returns the user to connect as; it may do everything.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.inner.address.user
    }

    /// Returns the password of the user; never empty, and not looked at where none was set.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.inner.address.password
    }

    /// Returns the URL of the database `postgres`, which every server has.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.address.url("postgres")
    }

    /// Returns the URL that leads there through a proxy to this server.
    #[must_use]
    pub fn url_through(&self, proxy: &Proxy) -> String {
        self.inner.address.url_through(proxy, "postgres")
    }

    /// Returns what the server has written to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.inner.supervisor.log(cluster::SERVER)
    }

    pub(crate) fn backend(&self) -> (Address, Arc<Inner>) {
        (self.inner.address.clone(), Arc::clone(&self.inner))
    }

    /// Makes a database with a name of its own.
    ///
    /// # Errors
    /// [`Kind::Permanent`](cqi_errors::Kind::Permanent) when the server refuses or is not running.
    pub async fn create_database(&self) -> Result<Database> {
        self.database(format!("test_{}", token())).await
    }

    /// Makes a database with a given name, or takes the one that has it.
    ///
    /// # Errors
    /// [`Kind::Permanent`](cqi_errors::Kind::Permanent) when the server refuses or is not running.
    pub async fn database(&self, name: impl Into<String>) -> Result<Database> {
        let (inner, name) = (Arc::clone(&self.inner), name.into());
        blocking(move || {
            admin::create(&inner.address, &name)?;
            let address = inner.address.clone();
            Ok(Database::new(
                address,
                name,
                Keeper::Private(inner),
                Removal::WithServer,
            ))
        })
        .await
    }

    /// Kills the server with SIGKILL, as a crash would; returns when it is gone.
    ///
    /// Blocks for some milliseconds. Does nothing to a server that is not running.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when it was not gone within 10 s.
    pub fn kill(&self) -> Result<()> {
        let _change = self.inner.lock();
        match self.inner.pid() {
            Some(pid) => {
                process::crash(pid)?;
                cluster::wait_for_end(&self.inner.supervisor, STOP)
            }
            None => Ok(()),
        }
    }

    /// Stops the server as an operator would (a fast shutdown: transactions are rolled back, clients
    /// are told); returns when it is gone.
    ///
    /// Blocks for about 100 ms. Does nothing to a server that is not running.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when it was not gone within 10 s.
    pub fn stop(&self) -> Result<()> {
        let _change = self.inner.lock();
        self.inner.stop()
    }

    /// Stops the server if it runs, and starts it with the same port and data; returns when it
    /// accepts connections.
    ///
    /// # Errors
    /// As [`stop`](Postgres::stop) and [`PostgresBuilder::start`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the server goes on restarting.
    pub async fn restart(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let _change = inner.lock();
            inner.stop()?;
            let port = Some(inner.address.port);
            cluster::start(&inner.supervisor, &inner.folder, &inner.options, port).map(drop)
        })
        .await
    }

    /// Freezes the server with SIGSTOP: connections stay open, and nothing answers.
    ///
    /// The system goes on to accept new connections for it, up to its backlog.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) when the server is not running.
    pub fn freeze(&self) -> Result<()> {
        let _change = self.inner.lock();
        process::freeze(self.inner.running()?)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) when the server is not running.
    pub fn thaw(&self) -> Result<()> {
        let _change = self.inner.lock();
        process::thaw(self.inner.running()?)
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards no data that a panic could have left half-changed.
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pid(&self) -> Option<Pid> {
        match self.supervisor.exit(cluster::SERVER) {
            Some(_) => None,
            None => self.supervisor.pid(cluster::SERVER),
        }
    }

    fn running(&self) -> Result<Pid> {
        self.pid()
            .ok_or_else(|| Error::conflict("the test server is not running; restart it first"))
    }

    fn stop(&self) -> Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        // A frozen server would not notice.
        process::thaw(pid)?;
        process::send(pid, Signal::SIGINT)?;
        cluster::wait_for_end(&self.supervisor, STOP)
    }
}
