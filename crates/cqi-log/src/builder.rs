//! From settings to a subscriber.

use std::fmt;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Arc, OnceLock};

use cqi_config::{LogConfig, LogFormat, LogOutput, ServiceConfig};
use cqi_errors::{Error, Kind, Result};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::LogGuard;
use crate::filter::Levels;
use crate::keys::Style;
use crate::layer::LineLayer;
use crate::line::Form;
use crate::live_filter::LiveFilter;
use crate::output::Output;
use crate::spans::Spans;
use crate::text::Text;

type BoxLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Installs the process's logger as its settings say.
///
/// Call it once, first thing in `main`, and keep the guard until the end. It is
/// [`builder`]`().init(log, service)`.
///
/// # Errors
/// As for [`Builder::init`].
///
/// ```no_run
/// let log = cqi_log::init(&Default::default(), &Default::default())?;
/// tracing::info!(port = 8080, "listening");
/// # drop(log);
/// # Ok::<(), cqi_errors::Error>(())
/// ```
pub fn init(log: &LogConfig, service: &ServiceConfig) -> Result<LogGuard> {
    builder().init(log, service)
}

/// Makes a logger with more than the settings say: other layers, or a writer of one's own.
pub fn builder() -> Builder {
    Builder {
        layers: Vec::new(),
        writer: None,
    }
}

/// Builds a logger; made by [`builder`].
///
/// ```
/// use tracing_subscriber::layer::Identity;
///
/// let (dispatch, log) = cqi_log::builder()
///     .with(Identity::new()) // the place for a layer of traces
///     .writer(std::io::sink())
///     .build(&Default::default(), &Default::default())?;
/// tracing::dispatcher::with_default(&dispatch, || tracing::info!("listening"));
/// assert_eq!(log.stats().lines_written, 1);
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[must_use = "a builder does nothing until `init` or `build`"]
pub struct Builder {
    layers: Vec<BoxLayer>,
    writer: Option<Box<dyn Write + Send>>,
}

impl Builder {
    /// Adds a layer, such as that of traces; `log.level` does not filter what it sees.
    ///
    /// A layer that says from which level on it wants anything (`Layer::max_level_hint`), as one with
    /// a filter by level does, keeps each enter of a span cheaper by some 50 ns. It is asked when the
    /// logger is built, so one that can become louder later must start as loud.
    pub fn with(mut self, layer: impl Layer<Registry> + Send + Sync + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// Writes lines to a writer instead of to `log.output`.
    ///
    /// Each line is one call of `write`, made under a lock. What the writer itself logs is lost and
    /// counted. Lines have no colours.
    pub fn writer(mut self, writer: impl Write + Send + 'static) -> Self {
        self.writer = Some(Box::new(writer));
        self
    }

    /// Installs the logger for the whole process, with the records of the `log` crate if the
    /// feature `log` is on.
    ///
    /// # Errors
    /// As for [`build`](Builder::build), and [`Kind::Conflict`] if the process has a subscriber
    /// already: a logger is installed once.
    pub fn init(self, log: &LogConfig, service: &ServiceConfig) -> Result<LogGuard> {
        let (dispatch, guard) = self.build(log, service)?;
        tracing::dispatcher::set_global_default(dispatch).map_err(|_| {
            Error::conflict(
                "the process has a tracing subscriber already: call cqi_log::init once, and no other \
                 that installs one",
            )
        })?;
        #[cfg(feature = "log")]
        if tracing_log::LogTracer::init().is_err() {
            tracing::warn!("records of the log crate go elsewhere: it has a logger already");
        }
        guard.announce_level();
        Ok(guard)
    }

    /// Makes the logger without installing it, for tests and for scopes.
    ///
    /// Use the result with `tracing::dispatcher::with_default`, or with `with_subscriber` on a future.
    /// There, unlike with [`init`](Builder::init), what a `Debug` implementation logs while it is
    /// logged itself is lost: `tracing` does not enter a scoped subscriber twice.
    ///
    /// # Errors
    /// - [`Kind::InvalidInput`]: `log.level` has a bad directive, or `log.file` is missing.
    /// - [`Kind::Permanent`]: the output cannot be opened; the message names the file.
    pub fn build(self, log: &LogConfig, service: &ServiceConfig) -> Result<(Dispatch, LogGuard)> {
        let levels = Levels::parse(&log.level)?;
        let (output, terminal) = match self.writer {
            Some(writer) => (Output::writer(writer), false),
            None => open(log)?,
        };
        let output = Arc::new(output);
        let coloured =
            terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let form = match log.format {
            LogFormat::Pretty => Form::Text(Text {
                tall: true,
                coloured,
            }),
            LogFormat::Compact => Form::Text(Text {
                tall: false,
                coloured,
            }),
            _ => Form::json(&service.name),
        };
        let style = Style::new(form.escape(), &log.redact);
        let filter = LiveFilter::new(levels);
        let mut hints = self.layers.iter().map(Layer::max_level_hint);
        let others = hints.try_fold(LevelFilter::OFF, |loudest, hint| Some(loudest.max(hint?)));
        let outermost = self.layers.last().and_then(Layer::max_level_hint);
        let lines = LineLayer {
            filter: filter.clone(),
            is_alone: self.layers.is_empty(),
            form,
            style,
            output: Arc::clone(&output),
            spans: Spans::new(),
            dispatch: OnceLock::new(),
        };
        let mut layers: BoxLayer = if others.is_some() {
            Box::new(lines)
        } else {
            Box::new(Filtered::new(lines, filter.clone()))
        };
        // A `Vec` of layers would keep `on_register_dispatch` to itself, so they are stacked.
        for layer in self.layers {
            layers = Box::new(layers.and_then(layer));
        }
        // Of stacked layers only the outermost is asked which levels it wants.
        let dispatch = if outermost.is_some() {
            let filter = filter.clone();
            Dispatch::new(Registry::default().with(layers.and_then(Loudest { filter, others })))
        } else {
            Dispatch::new(Registry::default().with(layers))
        };
        let guard = LogGuard::new(output, &dispatch, filter, &log.level);
        Ok((dispatch, guard))
    }
}

/// Says up to which level any layer wants anything. Outermost, it is what a dispatcher finds first.
pub(crate) struct Loudest {
    pub(crate) filter: LiveFilter,
    others: Option<LevelFilter>,
}

impl Layer<Registry> for Loudest {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.others?.max(self.filter.loudest()))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("layers", &self.layers.len())
            .field("writer", &self.writer.is_some())
            .finish()
    }
}

/// Opens the output of the settings, and says whether a person is at its other end.
fn open(log: &LogConfig) -> Result<(Output, bool)> {
    match log.output {
        LogOutput::Stdout => Ok((Output::stdout()?, stdout().is_terminal())),
        LogOutput::Stderr => Ok((Output::stderr()?, stderr().is_terminal())),
        LogOutput::File => match &log.file {
            Some(path) => Ok((Output::file(path)?, false)),
            None => Err(Error::invalid_input(
                "log.file",
                "log.output is `file`: name the file that lines are appended to",
            )),
        },
        _ => Err(Error::new(
            Kind::Permanent,
            "log.output is of a kind that cqi-log does not know",
        )),
    }
}
