use std::path::PathBuf;

/// What is logged, how and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Levels by target, such as `info` or `info,cqi_db=debug`. `LOG_LEVEL` overrides it.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
    /// Where lines go.
    pub output: LogOutput,
    /// The file that lines are appended to when `output` is `file`.
    pub file: Option<PathBuf>,
    /// Keys whose values are replaced by `[redacted]`, in any span or event.
    pub redact: Vec<String>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
