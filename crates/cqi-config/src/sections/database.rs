use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::{hosts, one_part, positive};
use crate::{HumanDuration, Secret};

/// How to reach PostgreSQL and how many connections to keep.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct DatabaseConfig {
    /// The host, or several separated by commas, each with its own port where it differs:
    /// `db-1,db-2:5433`. They are tried in order until one has the wanted `target_session_attrs`. Default: localhost.
    #[garde(length(min = 1), custom(hosts))]
    pub host: String,
    /// The port of each host that names none. Default: 5432.
    #[garde(range(min = 1))]
    pub port: u16,
    /// The user. Default: postgres.
    #[garde(length(min = 1), custom(one_part))]
    pub user: String,
    /// The password; any characters. Default: empty.
    pub password: Secret,
    /// The name of the database. Default: postgres.
    #[garde(length(min = 1), custom(one_part))]
    pub database: String,
    /// The name the server shows in `pg_stat_activity`. Default: empty.
    #[garde(custom(one_part))]
    pub application_name: String,
    /// Whether the connection is encrypted and whom it trusts. Default: verify-full.
    pub ssl_mode: SslMode,
    /// A PEM file of the certificate authorities to trust; the system's when absent. Default: none.
    pub ssl_root_cert: Option<PathBuf>,
    /// A PEM file of the client's certificate chain. Default: none.
    pub ssl_cert: Option<PathBuf>,
    /// A PEM file of the client's private key. Default: none.
    #[garde(custom(beside(&self.ssl_cert)))]
    pub ssl_key: Option<PathBuf>,
    /// Which of several hosts will do. Default: read-write.
    pub target_session_attrs: TargetSessionAttrs,
    /// Whether a PgBouncer in transaction mode stands between: no named statements, no session state. Default: false.
    pub pgbouncer: bool,
    /// The most connections at a time. Default: 10.
    #[garde(range(min = 1, max = 10_000))]
    pub max_connections: u32,
    /// The fewest connections, opened at the start and kept. Default: 1.
    #[garde(custom(at_most(self.max_connections)))]
    pub min_connections: u32,
    /// The longest wait for a free connection. Default: 5s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub acquire_timeout: Duration,
    /// The longest time to open a connection, all hosts and TLS included. Default: 5s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub connect_timeout: Duration,
    /// The longest time to verify a connection before it is used again. Default: 1s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub recycle_timeout: Duration,
    /// The longest time of one query; then it is cancelled on the server. Default: 30s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub query_timeout: Duration,
    /// A connection older than this is replaced, give or take a tenth. Default: 30m.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub max_lifetime: Duration,
    /// A connection unused for this long is closed, down to `min_connections`. Default: 10m.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub idle_timeout: Duration,
    /// A connection unused for this long is verified by a round trip before it is used. Default: 30s.
    #[serde(with = "HumanDuration")]
    pub verify_after: Duration,
    /// The most prepared statements kept by a connection. Default: 256.
    pub statement_cache_size: u32,
    /// A query slower than this is logged as a warning. Default: 1s.
    #[serde(with = "HumanDuration")]
    pub slow_query_threshold: Duration,
}

/// Whether a connection to PostgreSQL is encrypted and whom it trusts. The names are libpq's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
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

fn beside(cert: &Option<PathBuf>) -> impl FnOnce(&Option<PathBuf>, &()) -> garde::Result + '_ {
    move |key, ()| match cert.is_some() == key.is_some() {
        true => Ok(()),
        false => Err(garde::Error::new("must be set together with ssl_cert")),
    }
}

fn at_most(max: u32) -> impl FnOnce(&u32, &()) -> garde::Result {
    move |min, ()| match *min <= max {
        true => Ok(()),
        false => Err(garde::Error::new(format!(
            "must be at most max_connections, {max}"
        ))),
    }
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
