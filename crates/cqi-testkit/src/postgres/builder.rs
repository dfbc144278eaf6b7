use std::fmt;

use cqi_errors::Result;

use super::{Postgres, blocking};
use crate::discovery::find_binaries;

/// What a server is started with.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) settings: Vec<(String, String)>,
    pub(super) password: Option<String>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<super::tls::Tls>,
    #[cfg(feature = "tls")]
    pub(super) certificates: Option<crate::certificates::Certificates>,
}

impl Options {
    pub(super) fn encrypts(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Returns the text of `pg_hba.conf`.
    ///
    /// On the socket, in a folder that only the tests can enter, nothing is asked.
    pub(super) fn access_rules(&self) -> String {
        let method = if self.password.is_some() {
            "scram-sha-256"
        } else {
            "trust"
        };
        let (kind, certificate) = self.demands();
        format!(
            "local all all trust\n\
             {kind} all all 127.0.0.1/32 {method}{certificate}\n\
             host replication all 127.0.0.1/32 {method}\n"
        )
    }

    /// Returns the kind of connection that is let in, and what is asked for beside the password.
    fn demands(&self) -> (&'static str, &'static str) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let certificate = if tls.client {
                " clientcert=verify-full"
            } else {
                ""
            };
            return (if tls.required { "hostssl" } else { "host" }, certificate);
        }
        ("host", "")
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_mut, reason = "only certificates are added")
    )]
    pub fn start_blocking(mut self) -> Result<Postgres> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.options.tls {
            let certificates = crate::certificates::Certificates::make(&tls.hosts, "postgres")?;
            self.options.certificates = Some(certificates);
        }
        Postgres::launch(find_binaries()?, self.options)
    }
}
