//! Where lines go, and what became of them.

use std::cell::Cell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cqi_errors::{Error, Kind, Result, ResultExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a line waits when a descriptor in non-blocking mode is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// The least time between two lines that tell of lost ones: an output that fails on and off is not
/// flooded with them.
const BETWEEN_NOTICES: Duration = Duration::from_secs(1);

thread_local! {
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

/// A destination of lines, shared by the subscriber and its guard.
pub(crate) struct Output {
    target: Mutex<Target>,
    path: Option<PathBuf>,
    lines: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    /// Lost lines that no line has told of yet.
    untold: AtomicU64,
}

struct Target {
    sink: Sink,
    /// Whether the last line was cut short, so that the next must begin on a line of its own.
    torn: bool,
    /// Whether the last line was lost: the next ones do not wait until a line is taken again.
    stuck: bool,
    /// When a line last told of lost ones.
    told: Option<Instant>,
}

enum Sink {
    /// A descriptor of our own, without a buffer: a line is one `write`.
    File(File),
    Writer(Box<dyn Write + Send>),
}

/// What became of the lines so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Lines that were written whole.
    pub lines_written: u64,
    /// Bytes of the lines that were written whole.
    pub bytes_written: u64,
    /// Lines that could not be written, or not to their end, and those whose values panicked.
    pub lines_lost: u64,
}

impl Output {
    pub(crate) fn stdout() -> Result<Self> {
        Self::descriptor(io::stdout(), "standard output")
    }

    pub(crate) fn stderr() -> Result<Self> {
        Self::descriptor(io::stderr(), "standard error")
    }

    pub(crate) fn file(path: &Path) -> Result<Self> {
        let sink = Sink::File(open(path)?);
        Ok(Self::new(sink, Some(path.to_owned())))
    }

    pub(crate) fn writer(writer: Box<dyn Write + Send>) -> Self {
        Self::new(Sink::Writer(writer), None)
    }

    fn descriptor(stream: impl AsFd, name: &'static str) -> Result<Self> {
        let owned = stream
            .as_fd()
            .try_clone_to_owned()
            .with_context(|| format!("open {name} for the log"))?;
        Ok(Self::new(Sink::File(File::from(owned)), None))
    }

    fn new(sink: Sink, path: Option<PathBuf>) -> Self {
        Self {
            target: Mutex::new(Target::new(sink)),
            path,
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        }
    }

    /// Writes a line that begins with a line end, which is left out unless the line before it was
    /// torn. It never fails: what cannot be written is counted. After a success it returns how
    /// many lines were lost before, where it is time to [tell](Output::write_notice).
    fn write(&self, line: &[u8]) -> Option<u64> {
        // A writer that logs would wait for itself.
        let Some(_writing) = Writing::begin() else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let mut target = self.lock();
        let patience = if target.stuck {
            Duration::ZERO
        } else {
            PATIENCE
        };
        target.stuck = !self.put(&mut target, line, patience);
        if target.stuck {
            self.lose();
            return None;
        }
        if self.untold.load(Ordering::Relaxed) == 0 || target.told_lately() {
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed)).filter(|&lost| lost > 0)
    }

    /// Writes a line that tells of lost ones, without waiting for room; if that fails they are told
    /// of later. It is no line of the service's, and not lost itself.
    pub(crate) fn write_notice(&self, line: &[u8], lost: u64) {
        let Some(_writing) = Writing::begin() else {
            return;
        };
        let mut target = self.lock();
        if self.put(&mut target, line, Duration::ZERO) {
            target.told = Some(now());
        } else {
            self.untold.fetch_add(lost, Ordering::Relaxed);
        }
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes and says whether all of the line was taken.
    fn put(&self, target: &mut Target, line: &[u8], patience: Duration) -> bool {
        let line = if target.torn { line } else { &line[1..] };
        let (written, result) = target.sink.write_whole(line, patience);
        match result {
            Ok(()) => {
                target.torn = false;
                // Under the lock there is no other writer to race with.
                let counted = |count: &AtomicU64, more| {
                    count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
                };
                counted(&self.lines, 1);
                counted(&self.bytes, line.len() as u64);
                true
            }
            Err(_) => {
                target.torn |= written > 0;
                false
            }
        }
    }

    pub(crate) fn reopen(&self) -> Result<()> {
        if let Some(path) = &self.path {
            let file = open(path)?;
            *self.lock() = Target::new(Sink::File(file));
        }
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<()> {
        let Some(_writing) = Writing::begin() else {
            return Ok(());
        };
        let mut target = self.lock();
        let flushed = match &mut target.sink {
            Sink::File(file) if self.path.is_some() => file.sync_data(),
            Sink::File(_) => Ok(()),
            Sink::Writer(writer) => writer.flush(),
        };
        match flushed {
            // What is no regular file, such as /dev/stdout, has nothing to put on disk.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            flushed => flushed.context("flush the log"),
        }
    }

    pub(crate) fn stats(&self) -> LogStats {
        LogStats {
            lines_written: self.lines.load(Ordering::Relaxed),
            bytes_written: self.bytes.load(Ordering::Relaxed),
            lines_lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// A writer that panicked leaves nothing half-done that the next line could not follow.
    fn lock(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("path", &self.path)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Target {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            torn: false,
            stuck: false,
            told: None,
        }
    }

    fn told_lately(&self) -> bool {
        let since = |told| now().saturating_duration_since(told);
        self.told.is_some_and(|told| since(told) < BETWEEN_NOTICES)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no runtime is needed to log, and no timer waits for this"
)]
fn now() -> Instant {
    Instant::now()
}

/// A line on its way: counted as lost where a panic ends it before it is written.
pub(crate) struct Unwritten<'a>(Option<&'a Output>);

impl<'a> Unwritten<'a> {
    pub(crate) fn new(output: &'a Output) -> Self {
        Self(Some(output))
    }

    /// Writes the line, as [`Output::write`] does.
    pub(crate) fn write(mut self, line: &[u8]) -> Option<u64> {
        let lost = self.0.and_then(|output| output.write(line));
        self.0 = None;
        lost
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if let Some(output) = self.0 {
            output.lose();
        }
    }
}

impl Sink {
    /// Writes all of it, in one call where the other side takes it; returns how much was written.
    fn write_whole(&mut self, line: &[u8], patience: Duration) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < line.len() {
            let result = match self {
                Self::File(file) => file.write(&line[written..]),
                Self::Writer(writer) => writer.write(&line[written..]),
            };
            let error = match result {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) => error,
            };
            match (error.kind(), &self) {
                (ErrorKind::Interrupted, _) => {}
                (ErrorKind::WouldBlock, Self::File(file)) if has_room(file, patience) => {}
                _ => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}

/// Waits until a descriptor in non-blocking mode takes more, or until patience ends.
fn has_room(file: &File, patience: Duration) -> bool {
    let Ok(patience) = Timespec::try_from(patience) else {
        return false;
    };
    let mut descriptors = [PollFd::new(file, PollFlags::OUT)];
    matches!(
        poll(&mut descriptors, Some(&patience)),
        Ok(1..) | Err(rustix::io::Errno::INTR)
    )
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| {
            Error::new(Kind::Permanent, format!("open log file {}", path.display()))
                .with_source(error)
        })
}

/// Marks the thread as writing, so that what a writer logs does not come back to it.
struct Writing;

impl Writing {
    fn begin() -> Option<Self> {
        let busy = WRITING.try_with(|writing| writing.replace(true));
        (!busy.unwrap_or(false)).then_some(Self)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = WRITING.try_with(|writing| writing.set(false));
    }
}
