//! A server that follows another.

use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Result, ResultExt};

use super::{Postgres, blocking, cluster};
use crate::supervisor::Supervisor;

/// How long the copy of a test server may take.
const COPY: Duration = Duration::from_secs(30);

/// How long a standby may take to become a primary.
const PROMOTION: Duration = Duration::from_secs(15);

impl Postgres {
    /// Starts a hot standby: a copy of this server that follows it by streaming replication and
    /// answers queries that only read.
    ///
    /// It has this server's settings and password. It does not end with this server.
    ///
    /// # Errors
    /// [`Kind::Permanent`](cqi_errors::Kind::Permanent) when the server is not running or does not
    /// let standbys follow; [`Kind::Timeout`](cqi_errors::Kind::Timeout) when the copy or the start
    /// takes over 30 s.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the standby ends once it has started.
    pub async fn standby(&self) -> Result<Self> {
        let primary = Arc::clone(&self.inner);
        blocking(move || {
            let supervisor = Supervisor::private()?;
            let source = &primary.address;
            // Backslash and colon are escaped in such a file.
            let password = source.password.replace('\\', "\\\\").replace(':', "\\:");
            let passwords = supervisor.write("pgpass", &format!("*:*:*:*:{password}\n"))?;
            let passwords = format!("PGPASSFILE={}", passwords.display());
            let (program, port) = (
                cluster::program(&primary.folder, "pg_basebackup")?,
                source.port.to_string(),
            );
            let copy = [
                "env",
                &passwords,
                &program,
                "--no-password",
                "--host",
                &source.host,
                "--port",
                &port,
                "--username",
                &source.user,
                "--pgdata=data",
                "--wal-method=stream",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ];
            supervisor
                .complete("pg_basebackup", &copy, COPY)
                .context("copy the server")?;
            Self::run(supervisor, primary.folder.clone(), primary.options.clone())
        })
        .await
    }

    /// Makes a standby a server of its own that can be written to; returns when it is one.
    ///
    /// # Errors
    /// [`Kind::Permanent`](cqi_errors::Kind::Permanent) when it is not a standby or not running.
    pub async fn promote(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let _change = inner.lock();
            let program = cluster::program(&inner.folder, "pg_ctl")?;
            let command = [
                &*program,
                "promote",
                "--pgdata=data",
                "--wait",
                "--timeout=10",
            ];
            inner.supervisor.complete("promote", &command, PROMOTION)
        })
        .await
    }
}
