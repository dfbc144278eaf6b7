use std::net::TcpStream;
use std::time::Duration;

use cqi_errors::{Error, Result};

use super::api::{self, Exemplar, Health, Sample, Target};
use super::rewriter::Rewriter;
use crate::discovery::find_program;
use crate::postgres::{blocking, free_port};
use crate::supervisor::Supervisor;
use crate::wait::{self, Deadline};

/// How long Prometheus may take to start.
const START: Duration = Duration::from_secs(20);

/// How long the first scrape may take: Prometheus looks for its targets every 5 s.
const SCRAPED: Duration = Duration::from_secs(30);

const PROMETHEUS: &str = "prometheus";

/// What Prometheus asks its targets for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScrapeFormat {
    /// What it likes best: OpenMetrics 1.0.0, else the text format.
    #[default]
    OpenMetrics,
    /// The text format 0.0.4 alone.
    Text,
}

/// Says what Prometheus scrapes, and how; made by [`Prometheus::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct PrometheusBuilder {
    targets: Vec<String>,
    path: String,
    interval: Duration,
    format: ScrapeFormat,
}

impl PrometheusBuilder {
    /// Adds a target, as host and port.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an address or a text, as the caller has it"
    )]
    pub fn target(mut self, address: impl ToString) -> Self {
        self.targets.push(address.to_string());
        self
    }

    /// Sets the path of the metrics, `/metrics` by default.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets how often each target is scraped, every 200 ms by default; a scrape may take as long,
    /// but at least a second.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the format that targets are asked for.
    ///
    /// For [`ScrapeFormat::Text`] the scrapes go through a small HTTP proxy that puts another
    /// `Accept` header in: Prometheus has no setting for it before 2.49.
    pub fn format(mut self, format: ScrapeFormat) -> Self {
        self.format = format;
        self
    }

    /// Starts Prometheus and waits until it answers, 20 s at most; the first scrape comes about
    /// 5 s later: see [`Prometheus::scraped`].
    ///
    /// # Errors
    /// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): Prometheus is missing (with the line that
    ///   installs it) or does not start (with the end of its log).
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): it was not ready in time.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: Prometheus ends once it has started.
    pub async fn start(self) -> Result<Prometheus> {
        blocking(move || self.launch()).await
    }

    fn launch(self) -> Result<Prometheus> {
        let program = find_program(PROMETHEUS)?;
        let supervisor = Supervisor::private()?;
        let rewriter = match self.format {
            ScrapeFormat::OpenMetrics => None,
            ScrapeFormat::Text => Some(Rewriter::start()?),
        };
        supervisor.write("prometheus.yml", &self.file(rewriter.as_ref()))?;
        let deadline = Deadline::after(START);
        loop {
            let port = free_port()?;
            let listen = format!("--web.listen-address=127.0.0.1:{port}");
            supervisor.run(
                PROMETHEUS,
                &[
                    &program.to_string_lossy(),
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    "--enable-feature=exemplar-storage",
                    "--scrape.discovery-reload-interval=50ms",
                    &listen,
                ],
            )?;
            let started = wait::poll(deadline.remaining(), || match supervisor.exit(PROMETHEUS) {
                Some(_) => Some(false),
                // Asked only where somebody listens: a refused request would be retried.
                None => (TcpStream::connect(("127.0.0.1", port)).is_ok() && api::ready(port))
                    .then_some(true),
            });
            let log = supervisor.log_tail(PROMETHEUS);
            match started {
                Some(true) => {
                    return Ok(Prometheus {
                        port,
                        targets: self.targets.len(),
                        supervisor,
                        _rewriter: rewriter,
                    });
                }
                Some(false) if log.contains("address already in use") => {}
                Some(false) => {
                    return Err(Error::permanent(format!(
                        "Prometheus does not start: {log}"
                    )));
                }
                None => {
                    return Err(Error::timeout(format!(
                        "Prometheus was not ready within {START:?}: {log}"
                    )));
                }
            }
        }
    }

    /// Writes the configuration, in JSON, which is YAML.
    fn file(&self, rewriter: Option<&Rewriter>) -> String {
        let milliseconds = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut job = serde_json::json!({
            "job_name": "test",
            "metrics_path": self.path,
            "scrape_interval": milliseconds(self.interval),
            "scrape_timeout": milliseconds(self.interval),
            "static_configs": [{ "targets": self.targets }],
        });
        if let Some(rewriter) = rewriter {
            job["proxy_url"] = format!("http://{}", rewriter.addr()).into();
        }
        serde_json::json!({ "scrape_configs": [job] }).to_string()
    }
}

/// A Prometheus of one's own; it ends when this is dropped.
///
/// It stores exemplars, and nothing of it outlives the test.
#[derive(Debug)]
#[must_use = "Prometheus is stopped when this is dropped"]
pub struct Prometheus {
    port: u16,
    targets: usize,
    supervisor: Supervisor,
    _rewriter: Option<Rewriter>,
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` at these addresses every 200 ms.
    ///
    /// # Errors
    /// As [`PrometheusBuilder::start`].
    pub async fn start<A: ToString>(targets: impl IntoIterator<Item = A>) -> Result<Self> {
        let builder = targets
            .into_iter()
            .fold(Self::builder(), PrometheusBuilder::target);
        builder.start().await
    }

    /// Says what to scrape, and how.
    pub fn builder() -> PrometheusBuilder {
        PrometheusBuilder {
            targets: Vec::new(),
            path: "/metrics".to_owned(),
            interval: Duration::from_millis(200),
            format: ScrapeFormat::default(),
        }
    }

    /// Returns the URL of its user interface and HTTP API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns what it has written to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.supervisor.log(PROMETHEUS)
    }

    /// Evaluates an expression of PromQL now; an instant vector or a scalar.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput) with what Prometheus says of the
    /// expression; [`Kind::Temporary`](cqi_errors::Kind::Temporary) when it does not answer.
    pub async fn query(&self, promql: &str) -> Result<Vec<Sample>> {
        let (port, promql) = (self.port, promql.to_owned());
        blocking(move || api::query(port, &promql)).await
    }

    /// Returns the exemplars of the last hour that belong to an expression's series.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn exemplars(&self, promql: &str) -> Result<Vec<Exemplar>> {
        let (port, promql) = (self.port, promql.to_owned());
        blocking(move || api::exemplars(port, &promql)).await
    }

    /// Returns the targets with the outcome of their last scrapes; none in the first 5 s.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn targets(&self) -> Result<Vec<Target>> {
        let port = self.port;
        blocking(move || api::targets(port)).await
    }

    /// Waits until every target has been scraped after this call, 30 s at most per scrape.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) with what the last scrape of a target met.
    pub async fn scraped(&self) -> Result<()> {
        let (port, count) = (self.port, self.targets);
        blocking(move || {
            // A scrape that is under way may have been answered before this call, so the second counts.
            for _ in 0..2 {
                next_scrape(port, count, SCRAPED)?;
            }
            Ok(())
        })
        .await
    }
}

/// Waits until each target has been scraped once more.
fn next_scrape(port: u16, count: usize, limit: Duration) -> Result<()> {
    let before = api::targets(port)?;
    let is_new = |target: &Target| {
        target.health == Health::Up
            && before
                .iter()
                .all(|old| (&old.url, &old.last_scrape) != (&target.url, &target.last_scrape))
    };
    let mut last = Vec::new();
    let scraped = wait::poll(limit, || {
        last = api::targets(port).ok()?;
        (last.len() == count && last.iter().all(is_new)).then_some(())
    });
    scraped.ok_or_else(|| {
        let outcomes = last
            .iter()
            .map(|target| format!("; {}: {}", target.url, target.last_error));
        Error::timeout(format!(
            "Prometheus has not scraped all of {count} targets within {limit:?}{}",
            outcomes.collect::<String>()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use cqi_errors::Kind;

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_scraped_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let prometheus = Prometheus::start([addr]).await.unwrap();
        let port = prometheus.port;
        blocking(move || {
            wait::poll(SCRAPED, || {
                let targets = api::targets(port).unwrap();
                targets
                    .first()
                    .filter(|target| target.health == Health::Down)?;
                Some(())
            })
            .unwrap();
            let error = next_scrape(port, 1, Duration::from_millis(500)).unwrap_err();
            assert_eq!(error.kind(), Kind::Timeout);
            assert!(
                format!("{error:#}").contains("connection refused"),
                "{error:#}"
            );
            Ok(())
        })
        .await
        .unwrap();
    }
}
