use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::discovery::find_program;
use crate::postgres::{Address, Database, Inner, Postgres, blocking, free_port};
use crate::supervisor::Supervisor;
use crate::wait::{self, Deadline};

/// How long PgBouncer may take to start.
const START: Duration = Duration::from_secs(10);

const BOUNCER: &str = "pgbouncer";

/// What PgBouncer stands in front of: a [`Database`] or a [`Postgres`].
#[derive(Clone, Debug)]
pub struct Backend {
    address: Address,
    database: String,
    server: Option<Arc<Inner>>,
}

impl From<&Database> for Backend {
    fn from(database: &Database) -> Self {
        let (address, server) = database.backend();
        Self {
            address,
            database: database.name().to_owned(),
            server,
        }
    }
}

impl From<&Postgres> for Backend {
    fn from(server: &Postgres) -> Self {
        let (address, server) = server.backend();
        Self {
            address,
            database: "postgres".to_owned(),
            server: Some(server),
        }
    }
}

/// Says how PgBouncer pools; made by [`PgBouncer::in_front_of`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct PgBouncerBuilder {
    backend: Backend,
    settings: Vec<(String, String)>,
}

impl PgBouncerBuilder {
    /// Gives a server connection to a client for a transaction; by default it is for a session.
    pub fn transaction_pooling(self) -> Self {
        self.setting("pool_mode", "transaction")
    }

    /// Sets a parameter of the section `[pgbouncer]`, such as `default_pool_size`; the last value
    /// wins.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Starts PgBouncer and waits until it accepts connections, 10 s at most.
    ///
    /// # Errors
    /// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): PgBouncer is missing (with the line that
    ///   installs it) or does not start (with the end of its log).
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): it was not ready in time.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: PgBouncer ends once it has started.
    pub async fn start(self) -> Result<PgBouncer> {
        blocking(move || self.launch()).await
    }

    fn launch(self) -> Result<PgBouncer> {
        let program = find_program(BOUNCER)?;
        let supervisor = Supervisor::private()?;
        let deadline = Deadline::after(START);
        loop {
            let port = free_port()?;
            supervisor.write("pgbouncer.ini", &self.file(port))?;
            supervisor.run(BOUNCER, &[&program.to_string_lossy(), "pgbouncer.ini"])?;
            let started = wait::poll(deadline.remaining(), || match supervisor.exit(BOUNCER) {
                Some(_) => Some(false),
                None => TcpStream::connect(("127.0.0.1", port))
                    .is_ok()
                    .then_some(true),
            });
            let log = supervisor.log_tail(BOUNCER);
            match started {
                Some(true) => {
                    let Backend {
                        mut address,
                        database,
                        server,
                    } = self.backend;
                    address.port = port;
                    return Ok(PgBouncer {
                        address,
                        database,
                        _server: server,
                        supervisor,
                    });
                }
                Some(false) if log.contains("ddress already in use") => {}
                Some(false) => {
                    return Err(Error::permanent(format!("PgBouncer does not start: {log}")));
                }
                None => {
                    return Err(Error::timeout(format!(
                        "PgBouncer was not ready within {START:?}: {log}"
                    )));
                }
            }
        }
    }

    fn file(&self, port: u16) -> String {
        let Address {
            host,
            port: server_port,
            user,
            password,
            socket,
        } = &self.backend.address;
        let host = socket
            .as_ref()
            .map_or(host.as_str().into(), |folder| folder.to_string_lossy());
        let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let (user, password) = (quote(user), quote(password));
        let mut file = format!(
            "[databases]\n\
             * = host={host} port={server_port} user={user} password={password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             max_client_conn = 1000\n"
        );
        for (name, value) in &self.settings {
            file.push_str(&format!("{name} = {value}\n"));
        }
        file
    }
}

/// A PgBouncer of one's own; it ends when this is dropped.
///
/// It lets everybody in and has all databases of the server, by their names.
#[derive(Debug)]
#[must_use = "PgBouncer is stopped when this is dropped"]
pub struct PgBouncer {
    address: Address,
    database: String,
    _server: Option<Arc<Inner>>,
    supervisor: Supervisor,
}

impl PgBouncer {
    /// Says which server, and which of its databases in [`url`](PgBouncer::url), to stand in front of.
    ///
    /// A database of the shared server must be kept for as long as it is used.
    pub fn in_front_of(backend: impl Into<Backend>) -> PgBouncerBuilder {
        PgBouncerBuilder {
            backend: backend.into(),
            settings: Vec::new(),
        }
    }

    /// Returns the host to connect to.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// Returns the port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// Returns the URL of the database through PgBouncer.
    #[must_use]
    pub fn url(&self) -> String {
        let host = self.host().to_owned();
        Address {
            host,
            ..self.address.clone()
        }
        .url(&self.database)
    }

    /// Returns what PgBouncer has written to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.supervisor.log(BOUNCER)
    }
}
