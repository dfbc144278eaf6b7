use std::pin::Pin;
use std::sync::Arc;

use cqi_config::DatabaseConfig;
use cqi_errors::{Error, Result};
use tokio_postgres::CancelToken;

/// Opens connections: hosts, TLS, startup options.
pub(crate) struct Connector {
    config: tokio_postgres::Config,
    host: Arc<str>,
    port: u16,
    connect_timeout: std::time::Duration,
}

/// An open connection before anything drives it.
pub(crate) struct Connected {
    pub(crate) client: tokio_postgres::Client,
    pub(crate) driver: Driver,
    pub(crate) canceller: Canceller,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

/// Moves bytes between the socket and the client until the connection ends.
pub(crate) type Driver =
    Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// Asks the server to cancel what runs on one connection.
#[derive(Clone)]
pub(crate) struct Canceller(CancelToken);

impl Connector {
    pub(crate) fn new(config: &DatabaseConfig) -> Result<Self> {
        let mut pg = tokio_postgres::Config::new();
        pg.host(&config.host)
            .port(config.port)
            .user(&config.user)
            .password(config.password.expose())
            .dbname(&config.database)
            .application_name(&config.application_name);
        Ok(Self {
            config: pg,
            host: config.host.as_str().into(),
            port: config.port,
            connect_timeout: config.connect_timeout,
        })
    }

    pub(crate) async fn connect(&self) -> Result<Connected> {
        let connecting = self.config.connect(tokio_postgres::NoTls);
        let (client, connection) = tokio::time::timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| Error::temporary("connect timed out"))?
            .map_err(|error| Error::temporary(error.to_string()))?;
        Ok(Connected {
            canceller: Canceller(client.cancel_token()),
            client,
            driver: Box::pin(connection),
            host: Arc::clone(&self.host),
            port: self.port,
        })
    }
}

impl Canceller {
    pub(crate) async fn cancel(&self) -> Result<()> {
        let cancelled = self.0.cancel_query(tokio_postgres::NoTls).await;
        cancelled.map_err(|error| Error::temporary(error.to_string()))
    }
}
