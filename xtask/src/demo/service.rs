//! The example as a process: its settings, its log, its end.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Client;
use crate::wait::wait_until;
use crate::workspace::{self, cargo};

/// The package, and the folder under `examples/`.
const NAME: &str = "simple";

/// A running service; killed when dropped.
pub(super) struct Service {
    child: Child,
    port: u16,
    metrics_port: u16,
    log: Option<thread::JoinHandle<()>>,
    lines: Arc<Mutex<Vec<String>>>,
    /// Whether to leave the lines of requests out of what is shown.
    briefly: Arc<AtomicBool>,
}

/// Compiles the example.
pub(super) fn build() -> Result<()> {
    workspace::run(&mut cargo(["build", "--package", NAME]))
}

impl Service {
    /// Starts the example with these settings and waits until it answers.
    ///
    /// # Errors
    /// When it ends at once, or does not answer within 20 seconds.
    pub(super) fn start(settings: &[(&str, String)]) -> Result<Self> {
        let folder = workspace::root().join("examples").join(NAME);
        let (port, metrics_port) = (free_port()?, free_port()?);
        let mut command = Command::new(binary()?);
        // What the caller's shell has set is meant for other services and for tests.
        for (name, _) in env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        let mut child = command
            .current_dir(&folder)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("CQI_SERVER_HTTP_PORT", port.to_string())
            .env("CQI_METRICS_PORT", metrics_port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {NAME} in {}", folder.display()))?;
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let briefly = Arc::<AtomicBool>::default();
        let log = child.stdout.take().map(|log| {
            let (lines, briefly) = (Arc::clone(&lines), Arc::clone(&briefly));
            thread::spawn(move || show(log, &lines, &briefly))
        });
        let mut service = Self {
            child,
            port,
            metrics_port,
            log,
            lines,
            briefly,
        };
        let client = service.client();
        wait_until("the service answers", Duration::from_secs(20), || {
            if let Some(status) = service.child.try_wait()? {
                bail!("{NAME} ended with {status}; its last log lines are above");
            }
            Ok(client.get("/v1/assets").is_ok())
        })?;
        Ok(service)
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// Does something that makes many requests, whose lines nobody wants to see.
    pub(super) fn briefly<T>(&self, act: impl FnOnce() -> T) -> T {
        self.briefly.store(true, Ordering::Relaxed);
        let result = act();
        self.briefly.store(false, Ordering::Relaxed);
        result
    }

    /// Returns what it has logged so far.
    pub(super) fn log_lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads its metrics as Prometheus does, with exemplars.
    pub(super) fn metrics(&self) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port);
        let scrape = minreq::get(url)
            .with_header("accept", "application/openmetrics-text; version=1.0.0")
            .with_timeout(5)
            .send()
            .context("cannot read the metrics")?;
        ensure!(
            scrape.status_code == 200,
            "/metrics answered {}",
            scrape.status_code
        );
        Ok(scrape.as_str()?.to_owned())
    }

    /// Asks the service to stop, as an orchestrator does, and returns how it ended.
    pub(super) fn stop(mut self) -> Result<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGTERM).context("cannot send SIGTERM to the service")?;
        let mut status = None;
        wait_until("the service stops", Duration::from_secs(20), || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        if let Some(log) = self.log.take() {
            ensure!(log.join().is_ok(), "the thread that shows the log panicked");
        }
        status.context("the service has no exit status")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already after `stop`; then both do nothing.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn is_setting(name: &OsStr) -> bool {
    name == "LOG_LEVEL" || name.to_string_lossy().starts_with("CQI_")
}

fn show(log: impl std::io::Read, lines: &Mutex<Vec<String>>, briefly: &AtomicBool) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if !(briefly.load(Ordering::Relaxed) && line.contains(r#""message":"request""#)) {
            println!("  log | {line}");
        }
        lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }
}

/// Where cargo puts what it builds.
fn binary() -> Result<std::path::PathBuf> {
    let metadata = workspace::metadata()?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("debug").join(NAME))
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    Ok(listener.local_addr()?.port())
}
