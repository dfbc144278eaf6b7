//! Behaviour of the servers and of the proxy, through the public interface.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_groups;
#[cfg(feature = "kafka")]
mod kafka_listeners;
#[cfg(feature = "kafka")]
mod kafka_processes;
#[cfg(feature = "kafka")]
mod kafka_scripted;
#[cfg(feature = "kafka")]
mod kafka_wire;
mod pgbouncer;
mod postgres;
mod processes;
#[cfg(feature = "prometheus")]
mod prometheus;
mod proxy;
mod proxy_faults;
mod redis;
mod redis_groups;
mod redis_processes;
mod redis_proxy;
#[cfg(feature = "tls")]
mod redis_tls;
#[cfg(feature = "tls")]
mod tls;

use tokio_postgres::{Client, Error, NoTls};

#[expect(
    clippy::disallowed_methods,
    reason = "the connection ends with its client"
)]
async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs a query that returns one text.
async fn text(client: &Client, sql: &str) -> Result<String, Error> {
    client.query_one(sql, &[]).await.map(|row| row.get(0))
}
