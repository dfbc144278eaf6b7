//! The running logger, as its owner sees it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cqi_errors::{Error, Result};
use tracing::Dispatch;
use tracing::dispatcher::{self, WeakDispatch};

use crate::filter::Levels;
use crate::live_filter::LiveFilter;
use crate::output::{LogStats, Output};

/// The owner's hold on a logger: changes its levels, reopens its file, counts its lines.
///
/// Lines are written as they are logged, so dropping the guard, or binding it to `_`, loses none
/// that go to standard output, standard error or a file: it flushes a [`writer`](crate::Builder::writer)
/// that buffers, for which it should live to the end of `main`. The logger itself stays installed.
#[must_use = "keep it: it changes levels, reopens the file, and flushes when it is dropped"]
pub struct LogGuard {
    output: Arc<Output>,
    dispatch: WeakDispatch,
    filter: LiveFilter,
    level: Mutex<String>,
}

impl LogGuard {
    pub(crate) fn new(
        output: Arc<Output>,
        dispatch: &Dispatch,
        filter: LiveFilter,
        level: &str,
    ) -> Self {
        Self {
            output,
            dispatch: dispatch.downgrade(),
            filter,
            level: Mutex::new(level.to_owned()),
        }
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn output(&self) -> &Arc<Output> {
        &self.output
    }

    /// Changes the levels, in the form of `log.level`, for all events from now on.
    ///
    /// ```
    /// # let (_dispatch, log) = cqi_log::builder().build(&Default::default(), &Default::default())?;
    /// log.set_level("cqi_bus=debug,info")?;
    /// assert_eq!(log.level(), "cqi_bus=debug,info");
    /// let error = log.set_level("info,cqi_bus=loud").unwrap_err();
    /// assert!(error.to_string().contains("`cqi_bus=loud`"));
    /// # Ok::<(), cqi_errors::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `InvalidInput`: a directive is not understood; the message names it, and the levels stay.
    /// - `Permanent`: the subscriber no longer exists.
    pub fn set_level(&self, directives: &str) -> Result<()> {
        let levels = Levels::parse(directives)?;
        // Held throughout, so that what is told is what holds.
        let mut told = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let dispatch = self.dispatch.upgrade().ok_or_else(|| {
            Error::permanent("set the log level: its subscriber no longer exists")
        })?;
        // While a process has but one subscriber, what callsites remember is renewed from this
        // thread's default, which may be another or none.
        dispatcher::with_default(&dispatch, || self.filter.set(levels));
        self.announce_level();
        directives.clone_into(&mut told);
        Ok(())
    }

    /// Returns the levels that hold, as they were set.
    #[must_use]
    pub fn level(&self) -> String {
        self.level
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Opens the log file again under its name, after something else renamed it; the lines that
    /// follow go there. Does nothing for other outputs.
    ///
    /// # Errors
    /// `Permanent` if the file cannot be opened; the old one stays in use.
    pub fn reopen(&self) -> Result<()> {
        self.output.reopen()
    }

    /// Waits until what was written is on disk, or flushes the builder's writer. Standard output and
    /// standard error have nothing to flush.
    ///
    /// # Errors
    /// `Permanent` or what the system reports.
    pub fn flush(&self) -> Result<()> {
        self.output.flush()
    }

    /// Returns what became of the lines so far.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.output.stats()
    }

    /// Tells the `log` crate which records it need not even hand over.
    #[cfg_attr(
        not(feature = "log"),
        expect(clippy::unused_self, reason = "there is nobody to tell")
    )]
    pub(crate) fn announce_level(&self) {
        #[cfg(feature = "log")]
        {
            use tracing_log::{AsLog as _, log};
            let loudest = tracing::level_filters::LevelFilter::current();
            log::set_max_level(loudest.as_log());
        }
    }
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogGuard")
            .field("level", &self.level())
            .field("output", &self.output)
            .finish()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        let _ = self.output.flush();
    }
}
