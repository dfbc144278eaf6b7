use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// How to reach PostgreSQL and how many connections to keep.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The host, or several separated by commas, each with its own port where it differs:
    /// `db-1,db-2:5433`. They are tried in order until one has the wanted `target_session_attrs`.
    pub host: String,
    /// The port of each host that names none.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password; any characters.
    pub password: Secret,
    /// The name of the database.
    pub database: String,
    /// The name the server shows in `pg_stat_activity`.
    pub application_name: String,
    /// Whether the connection is encrypted and whom it trusts.
    pub ssl_mode: SslMode,
    /// A PEM file of the certificate authorities to trust; the system's when absent.
    pub ssl_root_cert: Option<PathBuf>,
    /// A PEM file of the client's certificate chain.
    pub ssl_cert: Option<PathBuf>,
    /// A PEM file of the client's private key.
    pub ssl_key: Option<PathBuf>,
    /// Which of several hosts will do.
    pub target_session_attrs: TargetSessionAttrs,
    /// Whether a PgBouncer in transaction mode stands between: no named statements, no session state.
    pub pgbouncer: bool,
    /// The most connections at a time.
    pub max_connections: u32,
    /// The fewest connections, opened at the start and kept.
    pub min_connections: u32,
    /// The longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// The longest time to open a connection, all hosts and TLS included.
    pub connect_timeout: Duration,
    /// The longest time to verify a connection before it is used again.
    pub recycle_timeout: Duration,
    /// The longest time of one query; then it is cancelled on the server.
    pub query_timeout: Duration,
    /// A connection older than this is replaced, give or take a tenth.
    pub max_lifetime: Duration,
    /// A connection unused for this long is closed, down to `min_connections`.
    pub idle_timeout: Duration,
    /// A connection unused for this long is verified by a round trip before it is used.
    pub verify_after: Duration,
    /// The most prepared statements kept by a connection.
    pub statement_cache_size: u32,
    /// A query slower than this is logged as a warning.
    pub slow_query_threshold: Duration,
}

/// Whether a connection to PostgreSQL is encrypted and whom it trusts. The names are libpq's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can, without looking at its certificate; plain text otherwise.
    Prefer,
    /// Always encrypted, without looking at the server's certificate unless `ssl_root_cert` is set.
    Require,
    /// Always encrypted; the certificate must be trusted and name the host.
    #[default]
    VerifyFull,
}

/// Which of several PostgreSQL hosts will do. The names are libpq's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetSessionAttrs {
    /// Any host that answers.
    Any,
    /// A primary, which takes writes.
    #[default]
    ReadWrite,
    /// A host that takes no writes, such as a replica.
    ReadOnly,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 5432,
            user: "postgres".to_owned(),
            password: Secret::default(),
            database: "postgres".to_owned(),
            application_name: String::new(),
            ssl_mode: SslMode::default(),
            ssl_root_cert: None,
            ssl_cert: None,
            ssl_key: None,
            target_session_attrs: TargetSessionAttrs::default(),
            pgbouncer: false,
            max_connections: 10,
            min_connections: 1,
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            recycle_timeout: Duration::from_secs(1),
            query_timeout: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
            verify_after: Duration::from_secs(30),
            statement_cache_size: 256,
            slow_query_threshold: Duration::from_secs(1),
        }
    }
}
