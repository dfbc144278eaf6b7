//! A folder for what is too dear to be made for each test run: Kafka's programs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};

use crate::account::Account;
use crate::supervisor::token;
use crate::wait;

/// The variable that names another folder.
const VARIABLE: &str = "CQI_TEST_CACHE";

/// How long a process waits for another that fills the same part of the folder.
const TURN: Duration = Duration::from_secs(600);

/// Returns the folder, which the servers' user can read.
pub(super) fn folder() -> Result<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = named(VARIABLE) {
        return Ok(folder.into());
    }
    if Account::of_servers()?.is_other() {
        // What is below root's home is closed to the servers' user.
        return Ok("/var/cache/cqi-testkit".into());
    }
    let user = named("XDG_CACHE_HOME").map(PathBuf::from);
    user.or_else(|| named("HOME").map(|home| Path::new(&home).join(".cache")))
        .map(|cache| cache.join("cqi-testkit"))
        .ok_or_else(|| Error::permanent(format!("there is no HOME; set {VARIABLE} to a folder")))
}

/// Makes a folder once for all processes: `fill` writes it under another name.
pub(super) fn once(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(above).with_context(|| format!("make folder {}", above.display()))?;
    let _lock = lock(&folder.with_added_extension("lock"))?;
    if folder.is_dir() {
        return Ok(());
    }
    // What a killed process has left is nobody's: whoever fills the folder holds the lock.
    let begins = format!("{}.new-", name(folder));
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&begins) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let new = above.join(format!("{begins}{}", token()));
    let filled = fs::create_dir(&new)
        .with_context(|| format!("make folder {}", new.display()))
        .and_then(|()| fill(&new))
        .and_then(|()| {
            fs::rename(&new, folder).with_context(|| format!("make folder {}", folder.display()))
        });
    if filled.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    filled
}

fn name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn lock(path: &Path) -> Result<File> {
    let open = || {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
    };
    let file = open().with_context(|| format!("open {}", path.display()))?;
    let locked = wait::poll(TURN, || match file.try_lock() {
        Ok(()) => Some(Ok(())),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => Some(Err(error)),
    });
    match locked {
        Some(locked) => {
            locked.with_context(|| format!("lock {}", path.display()))?;
            Ok(file)
        }
        None => Err(Error::timeout(format!(
            "another process holds {} for over {TURN:?}",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn many_at_once_fill_a_folder_once() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("one.two");
        fs::create_dir(above.path().join("one.two.new-left")).unwrap();
        let fills = AtomicU32::new(0);
        let fill = |new: &Path| {
            fills.fetch_add(1, Ordering::Relaxed);
            fs::write(new.join("file"), "content").context("write")
        };
        let broken = once(&folder, |_| Err(Error::permanent("no network")));
        assert!(broken.is_err() && !folder.exists());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| once(&folder, fill).unwrap());
            }
        });
        assert_eq!(fills.into_inner(), 1);
        assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "content");
        // The folder and its lock; the next to fill it needs the latter.
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 2);
    }
}
