//! The example as a process: a real Prometheus scrapes it, and a collector has its traces.
#![allow(clippy::unwrap_used, reason = "what a test prepares must succeed")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cqi_testkit::prometheus::{ScrapeFormat, check_metrics};
use cqi_testkit::{Postgres, Prometheus};
use cqi_trace::testing::{Collector, ReceivedSpan};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A running service, with its ports for requests and for scrapes.
struct Service {
    child: Child,
    port: u16,
    metrics: u16,
}

impl Service {
    /// Starts it. Somebody else may take a free port before it does: then it ends, and others are tried.
    async fn start(settings: &[(&str, String)]) -> Self {
        for _ in 0..5 {
            let mut service = Self::spawn(settings, free_port().await, free_port().await);
            let ready = async {
                while service.child.try_wait().unwrap().is_none() {
                    if get(service.port, "/v1/assets").await.is_some() {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                false
            };
            if tokio::time::timeout(Duration::from_secs(20), ready)
                .await
                .unwrap()
            {
                return service;
            }
        }
        unreachable!("the service ends at once, whatever its ports");
    }

    fn spawn(settings: &[(&str, String)], port: u16, metrics: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simple"));
        // What the caller's shell has set is meant for other services and for tests.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CQI_") {
                command.env_remove(name);
            }
        }
        let child = command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("CQI_SERVER_HTTP_PORT", port.to_string())
            .env("CQI_METRICS_PORT", metrics.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            metrics,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks for a path, and returns the whole answer, if there is one.
async fn get(port: u16, path: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: simple\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(Duration::from_secs(5), ask)
        .await
        .ok()?
}

#[tokio::test]
async fn prometheus_scrapes_the_example_in_both_formats_and_stores_its_exemplars() {
    let postgres = Postgres::builder().start().await.unwrap();
    let database = postgres.database("scraped").await.unwrap();
    let collector = Collector::start().unwrap();
    let service = Service::start(&[
        ("CQI_DATABASE_HOST", postgres.host().to_owned()),
        ("CQI_DATABASE_PORT", postgres.port().to_string()),
        ("CQI_DATABASE_USER", postgres.user().to_owned()),
        ("CQI_DATABASE_PASSWORD", postgres.password().to_owned()),
        ("CQI_DATABASE_DATABASE", database.name().to_owned()),
        ("CQI_TRACING_ENABLED", true.to_string()),
        ("CQI_TRACING_SAMPLE_RATIO", "1".to_owned()),
        ("CQI_TRACING_ENDPOINT", collector.endpoint()),
    ])
    .await;
    for _ in 0..3 {
        let answer = get(service.port, "/v1/assets/7").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }

    let text = get(service.metrics, "/metrics").await.unwrap();
    let (_, text) = text.split_once("\r\n\r\n").unwrap();
    check_metrics(text).await.unwrap();

    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, service.metrics));
    let scrape = |format| async move {
        let prometheus = Prometheus::builder().target(address).format(format);
        let prometheus = prometheus.start().await.unwrap();
        prometheus.scraped().await.unwrap();
        prometheus
    };
    let (open, text) = tokio::join!(
        scrape(ScrapeFormat::OpenMetrics),
        scrape(ScrapeFormat::Text)
    );
    let count =
        r#"{__name__=~".+_http_request_count_total",path="/v1/assets/{id}",status_code="404"}"#;
    for prometheus in [&open, &text] {
        let found = prometheus.query(count).await.unwrap();
        assert!(matches!(&found[..], [one] if one.value == 3.0), "{found:?}");
    }
    let bucket = r#"{__name__=~".+_http_request_duration_seconds_bucket"}"#;
    let exemplars = open.exemplars(bucket).await.unwrap();
    assert!(!exemplars.is_empty());
    for exemplar in exemplars {
        let trace = u128::from_str_radix(&exemplar.labels["trace_id"], 16).unwrap();
        let has = move |spans: &[ReceivedSpan]| spans.iter().any(|span| span.trace_id == trace);
        collector.spans_when(has).await;
    }
    assert!(text.exemplars(bucket).await.unwrap().is_empty());
}
