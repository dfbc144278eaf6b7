use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cqi_errors::{Error, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::borrowed::Database;
use super::builder::RedisBuilder;
use super::config::{Options, SOCKET};
use super::launch::{self, SERVER};
use super::{Address, COMMAND, Reply, client};
use crate::postgres::blocking;
use crate::supervisor::Supervisor;
use crate::{Proxy, process};

/// How long a server may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// How long one of many commands may take that look at a group of servers.
const PROBE: Duration = Duration::from_secs(1);

/// A Redis server of one's own, to stop, kill and freeze; or a database of a server that runs already.
///
/// When the last handle is dropped, or the process that holds it ends in whatever way, the server is
/// stopped and its files are removed.
#[derive(Clone, Debug)]
pub struct Redis {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) address: Address,
    place: Place,
}

enum Place {
    Own(Process),
    Borrowed(#[expect(dead_code, reason = "given back when it is dropped")] Database),
}

/// The process of a server of one's own.
struct Process {
    supervisor: Supervisor,
    program: PathBuf,
    options: Options,
    /// Held while the server changes between running and not.
    change: Mutex<()>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Redis {
    /// Starts a server of this test's own, without a password; where somebody runs a server for the
    /// tests, takes an empty database of that.
    ///
    /// The server is found as [`Source::find_redis`](crate::Source::find_redis) says. A database has
    /// a number, which [`url`](Redis::url) ends with, and neither dies nor freezes at a test's word:
    /// `Redis::builder().private()` starts a server that does.
    ///
    /// # Errors
    /// As [`RedisBuilder::start`], and [`Kind::Temporary`](cqi_errors::Kind::Temporary) when all
    /// databases were taken for 30 s.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the server ends once it has started.
    pub async fn start() -> Result<Self> {
        blocking(Self::start_blocking).await
    }

    /// Starts a server as [`start`](Redis::start) does, on this thread.
    ///
    /// # Errors
    /// As [`start`](Redis::start).
    pub fn start_blocking() -> Result<Self> {
        match Database::of_run()? {
            Some(database) => Ok(Self::new(database.address(), Place::Borrowed(database))),
            None => Self::builder().start_blocking(),
        }
    }

    /// Says what a server of one's own is to be like.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Starts a server on this port, else on any free one.
    pub(super) fn launch(program: &Path, options: Options, port: Option<u16>) -> Result<Self> {
        let supervisor = Supervisor::private()?;
        let mut address = Address {
            host: "127.0.0.1".to_owned(),
            port: port.unwrap_or(0),
            user: None,
            password: options.password.clone(),
            database: 0,
            tls: options.encrypts(),
            socket: Some(supervisor.directory().join(SOCKET)),
        };
        launch::start(&supervisor, program, &options, &mut address)?;
        let process = Process {
            supervisor,
            program: program.to_owned(),
            options,
            change: Mutex::new(()),
        };
        Ok(Self::new(address, Place::Own(process)))
    }

    fn new(address: Address, place: Place) -> Self {
        let inner = Arc::new(Inner { address, place });
        Self { inner }
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

    /// Returns host and port, `127.0.0.1:6379`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// Returns the URL, `redis://user:password@host:port/database`, or `rediss` where the server encrypts;
    /// without the user and password where none is asked for, and without the database 0.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.address.url()
    }

    /// Returns the URL for another user or with another password, which may be a wrong one.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.inner.address.as_user(user, password).url()
    }

    /// Returns the URL that leads there through a proxy to this server.
    #[must_use]
    pub fn url_through(&self, proxy: &Proxy) -> String {
        self.inner.address.through(proxy).url()
    }

    /// Returns what the server has written to its log so far; nothing, where it is not the test's own.
    #[must_use]
    pub fn log(&self) -> String {
        let log = |process: &Process| process.supervisor.log(SERVER);
        self.inner.process().map(log).unwrap_or_default()
    }

    /// Runs a command, on a connection of its own and with all rights; 10 s at most.
    ///
    /// The arguments may hold any bytes. It does not go through a proxy.
    ///
    /// # Errors
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): there are no arguments.
    /// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): the server answered with an error, whose
    ///   text is in the message.
    /// - [`Kind::Temporary`](cqi_errors::Kind::Temporary): there is no connection.
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): no answer in time.
    ///
    /// # Cancel safety
    /// When the future is dropped, the command is still carried out.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> cqi_errors::Result<()> {
    /// let redis = cqi_testkit::Redis::start().await?;
    /// redis.command(["SET", "key", "value"]).await?;
    /// assert_eq!(redis.command(["GET", "key"]).await?.text(), Some("value"));
    /// redis.command([&b"SET"[..], b"key", &[0xff; 1000]]).await?;
    /// assert_eq!(redis.command(["STRLEN", "key"]).await?.integer(), Some(1000));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn command<A: AsRef<[u8]>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Reply> {
        let arguments: Vec<Vec<u8>> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_vec())
            .collect();
        if arguments.is_empty() {
            return Err(Error::invalid_input("command", "has no name"));
        }
        let inner = Arc::clone(&self.inner);
        blocking(move || client::command(&inner.address, &arguments, COMMAND)).await
    }

    /// Runs a command on this thread, as one of many probes.
    pub(super) fn probe(&self, arguments: &[impl AsRef<[u8]>]) -> Result<Reply> {
        client::command(&self.inner.address, arguments, PROBE)
    }

    pub(super) fn log_tail(&self) -> String {
        let tail = |process: &Process| process.supervisor.log_tail(SERVER);
        self.inner.process().map(tail).unwrap_or_default()
    }

    /// Adds a line to the file that the server reads when it starts again.
    pub(super) fn configure(&self, line: &str) -> Result<()> {
        launch::configure(&self.inner.process()?.supervisor, line)
    }

    /// Says whether the server's process is there, be it frozen.
    pub(super) fn is_running(&self) -> bool {
        self.inner
            .process()
            .is_ok_and(|process| process.pid().is_some())
    }

    /// Returns the folder with the files of a server of one's own.
    #[cfg(feature = "tls")]
    pub(super) fn directory(&self) -> &Path {
        match &self.inner.place {
            Place::Own(process) => process.supervisor.directory(),
            Place::Borrowed(_) => Path::new(""),
        }
    }

    /// Lets a server that has replicas stop without a wait for those that are behind.
    pub(super) fn hurry(&self) {
        // Before version 7 it does not wait, and knows no such setting.
        let _ = self.probe(&["CONFIG", "SET", "shutdown-timeout", "0"]);
    }

    /// Kills the server with SIGKILL, as a crash would; returns when it is gone.
    ///
    /// Its data are lost, unless it was told to keep them (`setting("appendonly", "yes")`). Blocks for
    /// some milliseconds. Does nothing to a server that is not running.
    ///
    /// # Errors
    /// - [`Kind::Conflict`](cqi_errors::Kind::Conflict): the server is not the test's own.
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): it was not gone within 10 s.
    pub fn kill(&self) -> Result<()> {
        let process = self.inner.process()?;
        let _change = process.lock();
        match process.pid() {
            Some(pid) => {
                process::crash(pid)?;
                launch::wait_for_end(&process.supervisor, STOP)
            }
            None => Ok(()),
        }
    }

    /// Stops the server as an operator would; returns when it is gone.
    ///
    /// Its data are lost as with [`kill`](Redis::kill). Does nothing to a server that is not running.
    ///
    /// # Errors
    /// As [`kill`](Redis::kill).
    pub fn stop(&self) -> Result<()> {
        let process = self.inner.process()?;
        let _change = process.lock();
        process.stop()
    }

    /// Stops the server if it runs, and starts it with the same port and settings; returns when it
    /// answers.
    ///
    /// # Errors
    /// As [`stop`](Redis::stop) and [`RedisBuilder::start`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the server goes on restarting.
    pub async fn restart(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let process = inner.process()?;
            let _change = process.lock();
            process.stop()?;
            launch::start_again(
                &process.supervisor,
                &process.program,
                &process.options,
                &inner.address,
            )
        })
        .await
    }

    /// Freezes the server with SIGSTOP: connections stay open, and nothing answers.
    ///
    /// The system goes on to accept new connections for it, up to its backlog.
    ///
    /// # Errors
    /// [`Kind::Conflict`](cqi_errors::Kind::Conflict) when the server is not running, or not the
    /// test's own.
    pub fn freeze(&self) -> Result<()> {
        let process = self.inner.process()?;
        let _change = process.lock();
        process::freeze(process.running()?)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// As [`freeze`](Redis::freeze).
    pub fn thaw(&self) -> Result<()> {
        let process = self.inner.process()?;
        let _change = process.lock();
        process::thaw(process.running()?)
    }
}

impl Inner {
    fn process(&self) -> Result<&Process> {
        match &self.place {
            Place::Own(process) => Ok(process),
            Place::Borrowed(_) => Err(Error::conflict(format!(
                "the server at {:?} is not this test's own; \
                 start one that is with `Redis::builder().private()`",
                self.address
            ))),
        }
    }
}

impl Process {
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
            .ok_or_else(|| Error::conflict("the test server is not running; restart it first"))
    }

    fn stop(&self) -> Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        // A frozen server would not notice.
        process::thaw(pid)?;
        process::send(pid, Signal::SIGTERM)?;
        launch::wait_for_end(&self.supervisor, STOP)
    }
}
