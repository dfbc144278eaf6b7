use std::time::Duration;

use cqi_config::DatabaseConfig;
use tokio_postgres::config::SslMode;

use super::hosts::{Address, Host, Peer};

/// The server stops a statement this long after `query_timeout`, should the cancellation that the
/// client sends at that moment never arrive.
pub(crate) const STATEMENT_TIMEOUT_MARGIN: Duration = Duration::from_secs(5);

/// How often a server that runs a statement looks whether its client is still there.
pub(super) const CLIENT_CHECK: &str = "client_connection_check_interval";
const CLIENT_CHECK_SECONDS: u32 = 10;

/// A peer that vanished without a word is noticed after idle + interval x retries = 60 s, and after
/// the same time when it leaves data unacknowledged.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// What one attempt says to one address.
pub(super) struct Startup<'a> {
    pub(super) host: &'a Host,
    pub(super) peer: &'a Peer,
    pub(super) encrypted: bool,
    pub(super) check_client: bool,
}

impl Startup<'_> {
    /// The settings live as long as the attempt: they hold a copy of the password.
    pub(super) fn settings(&self, config: &DatabaseConfig) -> tokio_postgres::Config {
        let mut settings = tokio_postgres::Config::new();
        settings
            .user(&config.user)
            .dbname(&config.database)
            .port(self.host.port)
            // `prefer` is a matter of two attempts: the driver's own falls back when a handshake
            // was refused, not when it failed.
            .ssl_mode(if self.encrypted {
                SslMode::Require
            } else {
                SslMode::Disable
            })
            .tcp_user_timeout(USER_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        match &self.host.address {
            Address::Tcp(name) => settings.host(&**name),
            Address::Unix(folder) => settings.host_path(folder),
        };
        if let Peer::Tcp(address) = self.peer {
            settings.hostaddr(address.ip());
        }
        if !config.password.is_empty() {
            settings.password(config.password.expose());
        }
        if !config.application_name.is_empty() {
            settings.application_name(&config.application_name);
        }
        // PgBouncer refuses `options`, and what they set would leak to the next client.
        if !config.pgbouncer {
            settings.options(self.options(config.query_timeout));
        }
        settings
    }

    fn options(&self, query_timeout: Duration) -> String {
        let statement_timeout = query_timeout.saturating_add(STATEMENT_TIMEOUT_MARGIN);
        let milliseconds = i32::try_from(statement_timeout.as_millis()).unwrap_or(i32::MAX);
        let mut options = format!("-c statement_timeout={milliseconds}");
        if self.check_client {
            options.push_str(&format!(" -c {CLIENT_CHECK}={CLIENT_CHECK_SECONDS}s"));
        }
        options
    }
}
