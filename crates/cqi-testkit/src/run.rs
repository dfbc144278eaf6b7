//! One server per test run: the first process starts it, the others join.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};
use nix::unistd::getpgrp;

use crate::account::Account;
use crate::supervisor::Supervisor;
use crate::wait;

/// How long a process waits for another to start the server.
const TURN: Duration = Duration::from_secs(90);

/// Returns the name of this test run: that of nextest, whose tests are processes in groups of their
/// own, else the process group, which the test binaries of one `cargo test` share.
fn run_name() -> String {
    match std::env::var("NEXTEST_RUN_ID") {
        Ok(id) if !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => id,
        _ => format!("group-{}", getpgrp()),
    }
}

/// Joins the run's server of a kind, starting it where there is none.
pub(crate) fn join(
    kind: &str,
    start: impl FnOnce(&Supervisor) -> Result<()>,
) -> Result<Supervisor> {
    let version = env!("CARGO_PKG_VERSION");
    let mut pointer = lock(&format!("{kind}-{version}-{}", run_name()))?;
    let mut directory = String::new();
    pointer
        .file
        .read_to_string(&mut directory)
        .with_context(|| format!("read {}", pointer.path.display()))?;
    if !directory.is_empty()
        && let Some(supervisor) = Supervisor::join(Path::new(&directory))?
    {
        return Ok(supervisor);
    }
    let started = pointer.start(start);
    if started.is_err() {
        // Still locked: who waits for it sees that it is gone, and tries by itself.
        let _ = fs::remove_file(&pointer.path);
    }
    started
}

/// A locked file that holds the directory of a server; the lock ends with the value.
struct Pointer {
    file: File,
    path: PathBuf,
}

impl Pointer {
    fn start(&mut self, start: impl FnOnce(&Supervisor) -> Result<()>) -> Result<Supervisor> {
        // Emptied at once: the supervisor that was named in it removes the file at its end.
        self.point_to(Path::new(""))?;
        let supervisor = Supervisor::shared(&self.path)?;
        start(&supervisor)?;
        self.point_to(supervisor.directory())?;
        Ok(supervisor)
    }

    fn point_to(&mut self, directory: &Path) -> Result<()> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file
                .write_all(directory.as_os_str().as_encoded_bytes())
        };
        write().with_context(|| format!("write {}", self.path.display()))
    }
}

fn lock(name: &str) -> Result<Pointer> {
    let account = Account::of_servers()?;
    let locked = wait::poll(TURN, || try_lock(account, name).transpose());
    locked.unwrap_or_else(|| {
        Err(Error::timeout(format!(
            "another test process is starting {name} for over {TURN:?}"
        )))
    })
}

fn try_lock(account: Account, name: &str) -> Result<Option<Pointer>> {
    let path = account.folder()?.join(name);
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = match opened {
        Ok(file) => file,
        // A supervisor that ended has removed the folder in between.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    match file.try_lock() {
        Ok(()) => account.own(&path)?,
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("lock {}", path.display()));
        }
    }
    // A supervisor that ended may have removed the file that was opened.
    let same = fs::metadata(&path)
        .ok()
        .zip(file.metadata().ok())
        .is_some_and(|(there, here)| (there.dev(), there.ino()) == (here.dev(), here.ino()));
    Ok(same.then_some(Pointer { file, path }))
}
