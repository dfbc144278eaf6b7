//! A logger whose lines a test reads.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use cqi_config::{LogConfig, ServiceConfig};
use cqi_log::{Builder, LogGuard};
use serde_json::Value;
use tracing::{Dispatch, dispatcher};

pub(crate) struct Logs {
    pub(crate) guard: LogGuard,
    pub(crate) dispatch: Dispatch,
    written: Written,
}

impl Logs {
    pub(crate) fn new() -> Self {
        Self::at("info")
    }

    pub(crate) fn at(level: &str) -> Self {
        Self::with(cqi_log::builder(), &config(level))
    }

    pub(crate) fn with(builder: Builder, config: &LogConfig) -> Self {
        let written = Written::default();
        let (dispatch, guard) = builder
            .writer(written.clone())
            .build(config, &service())
            .unwrap();
        Self {
            guard,
            dispatch,
            written,
        }
    }

    pub(crate) fn run<T>(&self, log: impl FnOnce() -> T) -> T {
        dispatcher::with_default(&self.dispatch, log)
    }

    #[cfg(feature = "tower")]
    pub(crate) fn clear(&self) {
        self.written.0.lock().unwrap().clear();
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().concat()).unwrap()
    }

    /// Returns the lines, each of which must have come in one write.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line: &Vec<u8>| {
            let json = line.strip_suffix(b"\n").expect("a line ends");
            assert!(!json.contains(&b'\n'), "one line a write");
            serde_json::from_slice(json).expect("a line is JSON")
        };
        self.written.0.lock().unwrap().iter().map(parse).collect()
    }

    /// Runs, and returns the one line that was written.
    pub(crate) fn line(&self, log: impl FnOnce()) -> Value {
        let before = self.lines().len();
        self.run(log);
        let mut lines = self.lines().split_off(before);
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }
}

pub(crate) fn config(level: &str) -> LogConfig {
    LogConfig {
        level: level.to_owned(),
        ..LogConfig::default()
    }
}

pub(crate) fn service() -> ServiceConfig {
    ServiceConfig {
        name: "asset-registry".to_owned(),
        ..ServiceConfig::default()
    }
}

/// Replaces the timestamp at the start of a text, after checking its form.
pub(crate) fn undated(text: &str) -> String {
    let form = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let matches = rest.len() >= form.len()
            && rest
                .bytes()
                .zip(form.bytes())
                .all(|(byte, form)| match form {
                    b'd' => byte.is_ascii_digit(),
                    other => byte == other,
                });
        if matches {
            out.push_str("<timestamp>");
            rest = &rest[form.len()..];
        } else {
            let next = rest.chars().next().unwrap();
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// Keeps what each write brought.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Written {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
