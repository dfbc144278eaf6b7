use cqi_errors::Result;

use super::{Postgres, blocking};
use crate::discovery::find_binaries;

/// What a server is started with.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) settings: Vec<(String, String)>,
    pub(super) password: Option<String>,
}

impl Options {
    /// Returns the text of `pg_hba.conf`.
    pub(super) fn access_rules(&self) -> String {
        let method = if self.password.is_some() {
            "scram-sha-256"
        } else {
            "trust"
        };
        format!("host all all 127.0.0.1/32 {method}\nhost replication all 127.0.0.1/32 {method}\n")
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Says what a server of one's own is to be like; made by [`Postgres::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct PostgresBuilder {
    pub(super) options: Options,
}

impl PostgresBuilder {
    /// Sets a parameter of `postgresql.conf`, such as `max_connections`; the last value wins.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.settings.push((name.into(), value.into()));
        self
    }

    /// Demands this password from everybody (SCRAM-SHA-256); by default none is asked for.
    ///
    /// It may hold any characters but line breaks.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.options.password = Some(password.into());
        self
    }

    /// Says whether standbys can follow the server, as they can by default.
    pub fn standby(self, allowed: bool) -> Self {
        if allowed {
            return self;
        }
        self.setting("wal_level", "minimal")
            .setting("max_wal_senders", "0")
    }

    /// Makes the server private, which it is in any case; says so to the reader.
    pub fn private(self) -> Self {
        self
    }

    /// Starts the server and waits until it accepts connections; 30 s at most for each of its two
    /// steps, making the data directory and starting.
    ///
    /// # Errors
    /// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): PostgreSQL is missing (with the line that
    ///   installs it) or does not start (with the end of its log).
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): it was not ready in time.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the server ends once it has started.
    pub async fn start(self) -> Result<Postgres> {
        blocking(move || self.start_blocking()).await
    }

    /// Starts the server as [`start`](PostgresBuilder::start) does, on this thread.
    ///
    /// # Errors
    /// As [`start`](PostgresBuilder::start).
    pub fn start_blocking(self) -> Result<Postgres> {
        Postgres::launch(find_binaries()?, self.options)
    }
}
