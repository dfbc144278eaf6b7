//! A process that runs servers and outlives the tests, to end the servers and remove their files
//! whichever way the tests end.
//!
//! The tests hold the writing end of a named pipe, the door; the supervisor reads it. The kernel
//! closes the door of a killed process, so no signal handler and no exit hook is needed.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::account::Account;
use crate::sweep::sweep;
use crate::wait;

const SCRIPT: &str = include_str!("supervisor.sh");

/// How long the supervisor of a shared server waits for the next test process.
const GRACE: Duration = Duration::from_secs(3);

/// How long a process that joins waits for the supervisor to have an ear.
const HELLO: Duration = Duration::from_secs(30);

/// A handle on a supervisor; while one exists in any process, the servers run.
#[derive(Debug)]
pub(crate) struct Supervisor {
    directory: PathBuf,
    account: Account,
    door: File,
    child: Option<Child>,
}

impl Supervisor {
    /// Starts one that ends with this handle.
    pub(crate) fn private() -> Result<Self> {
        Self::start(None)
    }

    /// Starts one that others can join; `pointer` is the file that will tell them its directory.
    pub(crate) fn shared(pointer: &Path) -> Result<Self> {
        Self::start(Some(pointer))
    }

    fn start(pointer: Option<&Path>) -> Result<Self> {
        let account = Account::of_servers()?;
        let directory = make_directory(account)?;
        let (door, reader) = make_door(&directory)?;
        // From a file, for a list of processes that can be read.
        let script = write(account, &directory.join("supervisor.sh"), SCRIPT)?;
        let mut command = Command::new("sh");
        command
            .arg(script)
            .arg(&directory)
            .arg(pointer.map_or(0, |_| GRACE.as_secs()).to_string())
            .arg(pointer.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(Stdio::from(reader))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C is meant for the tests; their end reaches the supervisor by the door.
            .process_group(0);
        // They would lead the server's own programs elsewhere.
        for (name, _) in std::env::vars_os().filter(|(name, _)| starts_with_pg(name)) {
            command.env_remove(name);
        }
        account.apply(&mut command);
        let child = command
            .spawn()
            .context("start sh to supervise the server")?;
        Ok(Self {
            directory,
            account,
            door,
            child: Some(child),
        })
    }

    /// Joins the supervisor of a directory; none, if it has ended or is about to.
    pub(crate) fn join(directory: &Path) -> Result<Option<Self>> {
        let Ok(mut door) = open_door(directory) else {
            return Ok(None);
        };
        // Full while the supervisor is busy; broken when it has ended.
        let said = wait::poll(HELLO, || match door.write_all(b"hello\n") {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            outcome => Some(outcome.is_ok()),
        });
        if said != Some(true) {
            return Ok(None);
        }
        let account = Account::of_servers()?;
        let directory = directory.to_owned();
        Ok(Some(Self {
            directory,
            account,
            door,
            child: None,
        }))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file that the server's user owns and nobody else can read.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        write(self.account, &self.directory.join(name), content)
    }

    /// Asks for a command to be run as process `name`.
    pub(crate) fn run(&self, name: &str, command: &[&str]) -> Result<()> {
        for suffix in ["pid", "exit"] {
            let _ = fs::remove_file(self.file(name, suffix));
        }
        self.send("run", &[&[name], command].concat())
    }

    /// Says how the supervisor is to reach its server.
    pub(crate) fn serves(&self, psql: &str, port: u16) -> Result<()> {
        self.send("serves", &[psql, &port.to_string()])
    }

    /// Asks for a database of the server to be removed, and does not wait for it.
    pub(crate) fn drop_database(&self, name: &str) -> Result<()> {
        self.send("drop", &[name])
    }

    fn send(&self, function: &str, arguments: &[&str]) -> Result<()> {
        let mut line = String::from(function);
        for argument in arguments {
            line.push_str(" '");
            line.push_str(&argument.replace('\'', r"'\''"));
            line.push('\'');
        }
        if line.contains('\n') {
            return Err(Error::invalid_input("command", "holds a line break"));
        }
        line.push('\n');
        (&self.door)
            .write_all(line.as_bytes())
            .context("reach the server's supervisor")
    }

    /// Runs a command to its end.
    pub(crate) fn complete(&self, name: &str, command: &[&str], limit: Duration) -> Result<()> {
        self.run(name, command)?;
        match wait::poll(limit, || self.exit(name)) {
            Some(0) => Ok(()),
            Some(status) => Err(Error::permanent(format!(
                "{name} ended with status {status}: {}",
                self.log_tail(name)
            ))),
            None => Err(Error::timeout(format!(
                "{name} took over {limit:?}: {}",
                self.log_tail(name)
            ))),
        }
    }

    pub(crate) fn pid(&self, name: &str) -> Option<Pid> {
        self.number(name, "pid").map(Pid::from_raw)
    }

    pub(crate) fn exit(&self, name: &str) -> Option<i32> {
        self.number(name, "exit")
    }

    fn number(&self, name: &str, suffix: &str) -> Option<i32> {
        fs::read_to_string(self.file(name, suffix))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    fn file(&self, name: &str, suffix: &str) -> PathBuf {
        self.directory.join(format!("{name}.{suffix}"))
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read(self.file(name, "log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Returns the last lines that process `name` wrote.
    pub(crate) fn log_tail(&self, name: &str) -> String {
        let log = self.log(name);
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(20)..];
        if tail.is_empty() {
            "it wrote nothing".to_owned()
        } else {
            tail.join("\n")
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // The door closes after this; somebody has to take note of the supervisor's end.
        if let Some(mut child) = self.child.take() {
            let _ = thread::Builder::new()
                .name("cqi-testkit-reaper".to_owned())
                .spawn(move || child.wait());
        }
    }
}

/// Returns 16 random hexadecimal digits.
pub(crate) fn token() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn starts_with_pg(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"PG")
}

fn write(account: Account, path: &Path, content: &str) -> Result<PathBuf> {
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content.as_bytes())
    };
    write().with_context(|| format!("write {}", path.display()))?;
    account.own(path)?;
    Ok(path.to_owned())
}

fn make_directory(account: Account) -> Result<PathBuf> {
    sweep(&account.folder()?);
    // A supervisor that ends may remove the empty folder in between.
    let made = wait::poll(HELLO, || match account.folder() {
        Ok(folder) => {
            let directory = folder.join(token());
            match DirBuilder::new().mode(0o700).create(&directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                outcome => Some(
                    outcome
                        .map(|()| directory)
                        .context("make a server's folder"),
                ),
            }
        }
        Err(error) => Some(Err(error)),
    });
    let directory = made.unwrap_or_else(|| {
        Err(Error::temporary(
            "the folder for test servers is removed again and again",
        ))
    })?;
    account.own(&directory)?;
    Ok(directory)
}

fn make_door(directory: &Path) -> Result<(File, File)> {
    let path = directory.join("door");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(std::io::Error::from)
        .with_context(|| format!("make the pipe {}", path.display()))?;
    let open = || {
        // An end opens at once only when the other is open already, or when it does not block.
        let first = nonblocking().read(true).open(&path)?;
        let door = open_door(directory)?;
        let reader = File::open(&path)?;
        drop(first);
        Ok((door, reader))
    };
    open().map_err(|error: std::io::Error| {
        Error::permanent(format!("open the pipe {}", path.display())).with_source(error)
    })
}

fn open_door(directory: &Path) -> std::io::Result<File> {
    open_pipe(&directory.join("door"))
}

/// Opens a pipe for writing, if somebody reads it.
pub(crate) fn open_pipe(path: &Path) -> std::io::Result<File> {
    nonblocking().write(true).open(path)
}

fn nonblocking() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlag::O_NONBLOCK.bits());
    options
}
