//! The layers through their public API.
#![allow(clippy::unwrap_used, reason = "what a test prepares must succeed")]

#[cfg(feature = "serve")]
mod bounds;
#[cfg(all(
    feature = "axum",
    feature = "process",
    feature = "runtime",
    feature = "serve"
))]
mod catalogue;
#[cfg(all(
    feature = "axum",
    feature = "process",
    feature = "runtime",
    feature = "serve"
))]
mod prometheus;
#[cfg(feature = "axum")]
mod router;
#[cfg(feature = "serve")]
mod server;
#[cfg(feature = "serve")]
mod slow;

// The derives of label sets name that crate.
extern crate cqi_metrics as prometheus_client;

mod exposition;
mod guard;
mod names;
mod observed;
mod requests;
mod threads;

use std::net::SocketAddr;

use cqi_config::{MetricsConfig, ServiceConfig};
use cqi_metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Settings that listen on a port of their own.
fn settings() -> MetricsConfig {
    MetricsConfig {
        port: 0,
        ..MetricsConfig::default()
    }
}

fn metrics(settings: &MetricsConfig) -> Metrics {
    Metrics::new(settings, &ServiceConfig::default()).unwrap()
}

/// Sends a request as it is, and returns the answer's head and body.
async fn ask(addr: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}
