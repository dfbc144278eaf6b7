//! Whom a server runs as, and where it keeps its files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use cqi_errors::{Error, Result, ResultExt};
use nix::unistd::{User, geteuid};

/// How long the path of the temporary folder may be: that of a socket in it has room for 100 or so.
const LONGEST: usize = 55;

/// The user a server runs as: the tests' own, or another when that is root, which PostgreSQL refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
    other: bool,
}

impl Account {
    /// Finds it.
    pub(crate) fn of_servers() -> Result<Self> {
        let own = geteuid();
        if !own.is_root() {
            let (uid, gid) = (own.as_raw(), nix::unistd::getegid().as_raw());
            return Ok(Self {
                uid,
                gid,
                other: false,
            });
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
                return Ok(Self {
                    uid,
                    gid,
                    other: true,
                });
            }
        }
        Err(Error::permanent(
            "PostgreSQL does not run as root, and there is neither a user postgres nor nobody; \
             `useradd --system postgres` makes one",
        ))
    }

    /// Says whether servers run as another user than the tests.
    #[cfg(feature = "kafka")]
    pub(crate) fn is_other(self) -> bool {
        self.other
    }

    /// Makes a file the server's.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        self.give(path)
            .with_context(|| format!("give {} to the server's user", path.display()))
    }

    fn give(self, path: &Path) -> std::io::Result<()> {
        if self.other {
            chown(path, Some(self.uid), Some(self.gid))
        } else {
            Ok(())
        }
    }

    /// Lets a command run as that user.
    pub(crate) fn apply(self, command: &mut Command) {
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Opens the folder that holds the servers of the tests' user, making it where it is missing.
    ///
    /// It belongs to the server's user and is not writable for others, so that the rules for shared
    /// temporary folders do not stop root and the server from removing one another's files.
    pub(crate) fn folder(self) -> Result<PathBuf> {
        let folder = self.temporary().join(format!("cqi-testkit-{}", geteuid()));
        // A supervisor that ends removes it where it is empty, at any moment.
        let prepared = (0..100).map(|_| self.prepare(&folder)).find(|prepared| {
            !prepared
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::NotFound)
        });
        let prepared = prepared.unwrap_or_else(|| Err(ErrorKind::NotFound.into()));
        if prepared.with_context(|| format!("make folder {}", folder.display()))? {
            return Ok(folder);
        }
        Err(Error::permanent(format!(
            "{} belongs to somebody else; remove it, or set TMPDIR to a folder of your own",
            folder.display()
        )))
    }

    /// Makes the folder and says whether it is the servers'.
    fn prepare(self, folder: &Path) -> std::io::Result<bool> {
        match fs::create_dir(folder) {
            Ok(()) => {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
                self.give(folder)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let found = fs::symlink_metadata(folder)?;
        // Another process may be between making the folder and giving it away.
        Ok(found.is_dir() && [self.uid, geteuid().as_raw()].contains(&found.uid()))
    }

    /// Returns the folder for temporary files, or `/tmp` where the server's user cannot enter that or
    /// the path is too long.
    fn temporary(self) -> PathBuf {
        let folder = std::env::temp_dir();
        let open = |path: &Path| {
            fs::metadata(path).is_ok_and(|found| {
                found.mode() & 0o001 != 0
                    || (found.uid() == self.uid && found.mode() & 0o100 != 0)
                    || (found.gid() == self.gid && found.mode() & 0o010 != 0)
            })
        };
        let reachable = !self.other || folder.ancestors().all(open);
        if reachable && folder.as_os_str().len() <= LONGEST {
            folder
        } else {
            PathBuf::from("/tmp")
        }
    }
}
