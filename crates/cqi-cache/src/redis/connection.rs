use std::time::Duration;

use cqi_config::CacheBackend;
use cqi_errors::{Error, Kind};
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::ClientLike;
use fred::types::Value;
use fred::types::config::Options;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::{self, RedisError};
use super::explain;
use super::hosts::Host;
use super::sentinel;
use super::settings::Settings;

/// One client of fred and the task that drives it; both end with the connection, or when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    server: Host,
    driver: JoinHandle<Result<(), fred::error::Error>>,
}

impl Connection {
    /// Connects by way of a host, within `cache.connect_timeout`.
    pub(super) async fn open(settings: &Settings, host: &Host) -> Result<Self, Failure> {
        let opened = timeout(settings.connect_timeout, async {
            if settings.backend == CacheBackend::Sentinel {
                sentinel::open_primary(settings, host).await
            } else {
                Self::start(settings.client(host), host).await
            }
        });
        let refused = match opened.await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(refused)) => refused,
            Err(_) => Refused::Silent(host.clone()),
        };
        Err(explain::refused(refused, settings))
    }

    /// Connects to the server of a client.
    pub(super) async fn start(client: Client, server: &Host) -> Result<Self, Refused> {
        let driver = client.connect();
        let mut connection = Self {
            client,
            server: server.clone(),
            driver,
        };
        // It waits in the client's queue until the connection is there, and proves that it works.
        let probe = connection.client.with_options(&Options {
            timeout: Some(Duration::MAX),
            ..Options::default()
        });
        let error = tokio::select! {
            biased;
            ended = &mut connection.driver => cause(ended),
            answer = probe.ping::<Value>(None) => match answer {
                Ok(_) => return Ok(connection),
                // An answer, though not a friendly one, such as LOADING.
                Err(error) if error::code(error.details()).is_some() => return Ok(connection),
                // The client has given up, and says better why.
                Err(_) => cause((&mut connection.driver).await),
            },
        };
        Err(Refused::Error(server.clone(), error))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The server that was connected to; of a cluster, the first.
    pub(super) fn server(&self) -> &Host {
        &self.server
    }

    /// Returns why the connection ended, when it does.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn ended(&mut self) -> fred::error::Error {
        cause((&mut self.driver).await)
    }

    /// Says whether every server of the connection answers within a time.
    pub(super) async fn answers(&self, patience: Duration) -> bool {
        for server in self.client.active_connections() {
            let options = Options {
                timeout: Some(patience),
                cluster_node: self.client.is_clustered().then_some(server),
                ..Options::default()
            };
            let answer = self.client.with_options(&options).ping::<()>(None).await;
            if answer.is_err_and(|error| *error.kind() == ErrorKind::Timeout) {
                return false;
            }
        }
        true
    }

    /// Lets what is in flight end, within a time.
    pub(super) async fn close(mut self, bound: Duration) {
        // Whether it succeeds or not, there is nothing else to do about it.
        let _ = timeout(bound, async {
            let _ = self.client.quit().await;
            let _ = (&mut self.driver).await;
        })
        .await;
        self.end().await;
    }

    /// Ends at once; what is in flight fails.
    pub(super) async fn end(mut self) {
        self.driver.abort();
        if !self.driver.is_finished() {
            let _ = (&mut self.driver).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

type Ended = Result<Result<(), fred::error::Error>, tokio::task::JoinError>;

fn cause(ended: Ended) -> fred::error::Error {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => fred::error::Error::new(ErrorKind::IO, "the connection was closed"),
        Err(error) => fred::error::Error::new(ErrorKind::Unknown, error.to_string()),
    }
}

/// How an attempt to connect failed.
#[derive(Debug)]
pub(super) enum Refused {
    Error(Host, fred::error::Error),
    /// Nothing came back in time.
    Silent(Host),
    /// The sentinel has never heard of `cache.sentinel_service`.
    UnknownService(Host),
    /// The server that a sentinel names is a replica.
    Replica {
        sentinel: Host,
        server: Host,
    },
}

/// Why there is no connection: what a person reads and what a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) reason: String,
    pub(super) cause: Option<RedisError>,
}

impl Failure {
    pub(super) fn is_permanent(&self) -> bool {
        self.kind == Kind::Permanent
    }

    /// The reason and what the driver or the server said.
    pub(super) fn full(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {cause}", self.reason),
            None => self.reason.clone(),
        }
    }
}

impl From<&Failure> for Error {
    fn from(failure: &Failure) -> Self {
        let error = Self::new(failure.kind, failure.reason.clone());
        match &failure.cause {
            Some(cause) => error.with_source(cause.clone()),
            None => error,
        }
    }
}
