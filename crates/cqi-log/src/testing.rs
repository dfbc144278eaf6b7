//! Captures log lines in tests, as parsed values.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use cqi_config::{LogConfig, ServiceConfig};
use serde_json::Value;
use tracing::Dispatch;
use tracing::dispatcher::{self, DefaultGuard};

use crate::LogGuard;

/// Captures what this thread logs, from trace level on, until the result is dropped.
///
/// ```
/// let logs = cqi_log::testing::capture();
/// tracing::info!(asset = "btc", "price updated");
/// let line = &logs.lines()[0];
/// assert_eq!(line["message"], "price updated");
/// assert_eq!(line["asset"], "btc");
/// ```
///
/// # Panics
/// If a line cannot be parsed, which is a bug of this crate.
#[must_use = "lines are captured until it is dropped"]
pub fn capture() -> Capture {
    let log = LogConfig {
        level: "trace".to_owned(),
        ..LogConfig::default()
    };
    match Capture::new(crate::builder(), &log, &ServiceConfig::default()) {
        Ok(capture) => capture,
        Err(error) => unreachable!("the settings above are valid: {error}"),
    }
}

/// Lines captured on the thread that made it; made by [`capture`].
#[derive(Debug)]
pub struct Capture {
    lines: Lines,
    dispatch: Dispatch,
    guard: LogGuard,
    _default: DefaultGuard,
}

impl Capture {
    /// Captures with settings and a builder of one's own, whose writer is replaced.
    ///
    /// # Errors
    /// As for [`Builder::build`](crate::Builder::build).
    pub fn new(
        builder: crate::Builder,
        log: &LogConfig,
        service: &ServiceConfig,
    ) -> cqi_errors::Result<Self> {
        let lines = Lines::default();
        let (dispatch, guard) = builder.writer(lines.clone()).build(log, service)?;
        let default = dispatcher::set_default(&dispatch);
        Ok(Self {
            lines,
            dispatch,
            guard,
            _default: default,
        })
    }

    /// Returns the lines so far, parsed.
    ///
    /// # Panics
    /// If a line is not JSON, as with the formats `pretty` and `compact`: take
    /// [`text`](Capture::text) for those.
    #[must_use]
    #[expect(clippy::panic, reason = "a test should fail")]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => panic!("a log line is not JSON: {error}: {line}"),
        };
        self.text().lines().map(parse).collect()
    }

    /// Returns the lines so far as they were written.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines.lock()).into_owned()
    }

    /// Forgets the lines so far.
    pub fn clear(&self) {
        self.lines.lock().clear();
    }

    /// Returns the subscriber, to capture on other threads or with `with_subscriber` on a future.
    #[must_use]
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// Returns the guard, such as to change levels.
    pub fn guard(&self) -> &LogGuard {
        &self.guard
    }
}

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
