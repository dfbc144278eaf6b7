//! Opens connections: hosts in order, TLS, startup options, and the role of the server.

mod attempt;
mod canceller;
mod hosts;
mod role;
mod startup;
mod tls;
mod verifier;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cqi_config::{DatabaseConfig, SslMode, TargetSessionAttrs};
use cqi_errors::{Error, Kind, Result};
use tokio::time::{Instant, timeout};
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use attempt::Failed;
pub(crate) use canceller::Canceller;
use hosts::{Host, Peer};
use startup::Startup;

/// Opens connections as the settings say.
pub(crate) struct Connector {
    config: DatabaseConfig,
    hosts: Vec<Host>,
    tls: Option<MakeRustlsConnect>,
    check_client: AtomicBool,
    target: String,
}

/// An open connection before anything drives it.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    pub(crate) canceller: Canceller,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

/// Moves bytes between the socket and the client until the connection ends.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

impl Connector {
    /// Checks the settings and reads the certificates, so that `connect` touches no file.
    pub(crate) fn new(config: &DatabaseConfig) -> Result<Self> {
        let hosts = hosts::parse(&config.host, config.port)?;
        let insists = !matches!(config.ssl_mode, SslMode::Disable | SslMode::Prefer);
        if let Some(host) = hosts.iter().find(|host| insists && host.is_unix()) {
            return Err(Error::invalid_input(
                "database.ssl_mode",
                format!(
                    "PostgreSQL has no TLS on the Unix socket {host}: set it to disable or prefer"
                ),
            ));
        }
        let names: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let target = format!("{}/{}", names.join(","), config.database);
        Ok(Self {
            tls: tls::connector(config)?,
            config: config.clone(),
            hosts,
            check_client: AtomicBool::new(true),
            target,
        })
    }

    /// Names the hosts and the database in messages.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Opens a connection to the first host that will do, within `connect_timeout`.
    ///
    /// Each host gets an equal share of what is left of the time, and each of its addresses an
    /// equal share of that, so that one that swallows packets does not starve the others.
    pub(crate) async fn connect(&self) -> Result<Connected> {
        let deadline = crate::bound::after(Instant::now(), self.config.connect_timeout);
        let mut failed = Vec::new();
        for (tried, host) in self.hosts.iter().enumerate() {
            let share = share(deadline, self.hosts.len() - tried);
            match self.connect_host(host, Instant::now() + share).await {
                Ok(connected) => return Ok(connected),
                Err(failure) => failed.push((host, failure)),
            }
        }
        Err(no_host(failed))
    }

    async fn connect_host(&self, host: &Host, deadline: Instant) -> Result<Connected, Failed> {
        let peers = resolve(host, deadline).await?;
        let mut last = Failed::new(Kind::Temporary, "the name has no address");
        for (tried, peer) in peers.iter().enumerate() {
            let share = share(deadline, peers.len() - tried);
            last = match timeout(share, self.connect_peer(host, peer)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(failed)) => failed,
                Err(_) => Failed::new(Kind::Timeout, format!("no answer within {share:.1?}")),
            };
        }
        Err(last)
    }

    async fn connect_peer(&self, host: &Host, peer: &Peer) -> Result<Connected, Failed> {
        let mut startup = Startup {
            host,
            peer,
            encrypted: self.tls.is_some() && !host.is_unix(),
            check_client: !self.config.pgbouncer && self.check_client.load(Ordering::Relaxed),
        };
        loop {
            let failed = match self.attempt(&startup).await {
                Ok(connected) => return Ok(connected),
                Err(failed) => failed,
            };
            if startup.check_client && failed.concerns_client_check() {
                self.check_client.store(false, Ordering::Relaxed);
                startup.check_client = false;
            } else if startup.encrypted
                && self.config.ssl_mode == SslMode::Prefer
                && failed.concerns_tls()
            {
                startup.encrypted = false;
            } else {
                return Err(failed);
            }
        }
    }

    async fn attempt(&self, startup: &Startup<'_>) -> Result<Connected, Failed> {
        let failed = |error| Failed::from_driver(error, &self.config, startup.host);
        let settings = startup.settings(&self.config);
        let tls = self.tls.as_ref().filter(|_| startup.encrypted);
        let (client, mut driver, announced) = match tls {
            Some(tls) => {
                let (client, connection) = settings.connect(tls.clone()).await.map_err(failed)?;
                let announced = role::announced(&connection);
                (client, Box::pin(connection) as Driver, announced)
            }
            None => {
                let (client, connection) = settings.connect(NoTls).await.map_err(failed)?;
                let announced = role::announced(&connection);
                (client, Box::pin(connection) as Driver, announced)
            }
        };
        self.check_role(&client, &mut driver, announced)
            .await
            .map_err(failed)?
            .map_or(Ok(()), |reason| Err(Failed::new(Kind::Temporary, reason)))?;
        Ok(Connected {
            canceller: Canceller {
                token: client.cancel_token(),
                peer: startup.peer.clone(),
                tls: tls.map(|tls| (tls.clone(), startup.host.name())),
                bound: self.config.connect_timeout,
                loose: Arc::default(),
            },
            client,
            driver,
            host: startup.host.name(),
            port: startup.host.port,
        })
    }

    async fn check_role(
        &self,
        client: &Client,
        driver: &mut Driver,
        announced: Option<bool>,
    ) -> Result<Option<&'static str>, tokio_postgres::Error> {
        let wanted = self.config.target_session_attrs;
        if wanted == TargetSessionAttrs::Any {
            return Ok(None);
        }
        let read_only = match announced {
            // What PgBouncer announces it may have learnt before a failover.
            Some(read_only) if !self.config.pgbouncer => read_only,
            _ => role::asked(client, driver).await?,
        };
        Ok(role::objection(wanted, read_only))
    }
}

fn share(deadline: Instant, among: usize) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left / u32::try_from(among).unwrap_or(u32::MAX).max(1)
}

async fn resolve(host: &Host, deadline: Instant) -> Result<Vec<Peer>, Failed> {
    let left = deadline.saturating_duration_since(Instant::now());
    match timeout(left, host.peers()).await {
        Ok(Ok(peers)) => Ok(peers),
        Ok(Err(error)) => Err(Failed::new(
            Kind::Temporary,
            format!("the name cannot be resolved: {error}"),
        )),
        Err(_) => Err(Failed::new(
            Kind::Timeout,
            format!("the name was not resolved within {left:.1?}"),
        )),
    }
}

/// Of several hosts the most hopeful kind counts, since the
/// next attempt goes through all of them again.
fn no_host(mut failed: Vec<(&Host, Failed)>) -> Error {
    if failed.len() == 1
        && let Some((host, failed)) = failed.pop()
    {
        let message = format!("cannot connect to PostgreSQL at {host}: {}", failed.reason);
        return Error::new(failed.kind, message);
    }
    let kind = [Kind::Temporary, Kind::Timeout]
        .into_iter()
        .find(|kind| failed.iter().any(|(_, failed)| failed.kind == *kind))
        .unwrap_or(Kind::Permanent);
    let reasons: Vec<_> = failed
        .iter()
        .map(|(host, failed)| format!("{host}: {}", failed.reason))
        .collect();
    Error::new(
        kind,
        format!(
            "cannot connect to PostgreSQL, no host will do: {}",
            reasons.join("; ")
        ),
    )
}
