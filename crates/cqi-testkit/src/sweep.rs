//! Removes what others left that were killed at the wrong moment.
//!
//! A supervisor cleans up after its tests. What it cannot: the files of a test that was killed
//! before it had one, and its own, when it was killed itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::process;

/// How old something must be to be nobody's: whoever makes it needs a moment to say that it is theirs.
const AGE: Duration = Duration::from_secs(60);

/// Removes from the servers' folder what belongs to nobody any more; failures are for the next time.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if !is_old(&found) {
            continue;
        }
        if found.is_dir() {
            remove_server(&path);
        } else {
            remove_pointer(&path);
        }
    }
}

fn is_old(found: &fs::Metadata) -> bool {
    // The file system's clock against its own: no date of ours is compared.
    found
        .modified()
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > AGE))
}

/// Removes the directory of a server without a supervisor, and ends the server.
fn remove_server(directory: &Path) {
    let doors = ["door", "door.closed"].map(|name| directory.join(name));
    // A pipe that nobody reads cannot be opened for writing.
    let attended = |door: &PathBuf| match crate::supervisor::open_pipe(door) {
        Ok(_) => true,
        Err(error) => {
            error.kind() != std::io::ErrorKind::NotFound
                && error.raw_os_error() != Some(Errno::ENXIO as i32)
        }
    };
    if doors.iter().any(attended) {
        return;
    }
    let pid = fs::read_to_string(directory.join("server.pid")).ok();
    if let Some(pid) = pid.and_then(|pid| pid.trim().parse().ok())
        && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at.starts_with(directory))
    {
        let _ = process::crash(Pid::from_raw(pid));
    }
    let _ = fs::remove_dir_all(directory);
}

/// Removes a file that leads to a directory which is gone, unless somebody is about to change that.
fn remove_pointer(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    let leads = fs::read_to_string(path).is_ok_and(|to| !to.is_empty() && Path::new(&to).exists());
    if file.try_lock().is_ok() && !leads {
        let _ = fs::remove_file(path);
    }
}
