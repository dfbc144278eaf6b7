use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

/// What is logged, how and where to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct LogConfig {
    /// Levels by target, such as `info` or `info,cqi_db=debug`; the levels are off, error, warn,
    /// info, debug and trace. `LOG_LEVEL` overrides it. Default: info.
    #[garde(custom(levels))]
    pub level: String,
    /// The form of a line. Default: json.
    pub format: LogFormat,
    /// Where lines go. Default: stdout.
    pub output: LogOutput,
    /// The file that lines are appended to when `output` is `file`. Default: none.
    #[garde(custom(needed_by(&self.output)))]
    pub file: Option<PathBuf>,
    /// Keys whose values are replaced by `[redacted]`, in any span or event. Default: password,
    /// secret, token, authorization, api_key, cookie, set-cookie.
    pub redact: Vec<String>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// Several coloured lines an event, for a person at a terminal.
    Pretty,
    /// One short line an event, for a person at a terminal.
    Compact,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LogOutput {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
    /// The file named by `log.file`.
    File,
}

impl Default for LogConfig {
    fn default() -> Self {
        let redact = [
            "password",
            "secret",
            "token",
            "authorization",
            "api_key",
            "cookie",
            "set-cookie",
        ];
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
            output: LogOutput::default(),
            file: None,
            redact: redact.map(str::to_owned).to_vec(),
        }
    }
}

/// Refuses a bare word that is no level: a log filter takes it for a target and logs all of it.
fn levels(directives: &str, (): &()) -> garde::Result {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in directives.split(',').map(str::trim) {
        let level = directive.rsplit('=').next().unwrap_or_default();
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(garde::Error::new(
                "must be off, error, warn, info, debug or trace, or target=level, joined by commas",
            ));
        }
    }
    Ok(())
}

fn needed_by(output: &LogOutput) -> impl FnOnce(&Option<PathBuf>, &()) -> garde::Result + '_ {
    move |file, ()| match (output, file) {
        (LogOutput::File, None) => Err(garde::Error::new(
            "must name a file when log.output is file",
        )),
        _ => Ok(()),
    }
}
