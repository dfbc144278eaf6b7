//! PostgreSQL, Redis and Kafka for people: `up` starts a process that keeps servers until `down` ends it.
//!
//! The keeper locks a file for as long as it lives, so that nobody trusts a process id that another process has since got.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cqi_testkit::{Kafka, Postgres, Redis, Source};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_until;
use crate::workspace;

/// The hidden task that the keeper runs.
pub(crate) const TASK: &str = "keep";

const POSTGRES: &str = "CQI_TEST_POSTGRES_URL";

const REDIS: &str = "CQI_TEST_REDIS_URL";

const KAFKA: &str = "CQI_TEST_KAFKA_BROKERS";

/// Starts the servers unless they are up, and prints the settings that lead to them.
pub(crate) fn up() -> Result<()> {
    let files = Files::new();
    if !files.is_kept()? {
        let kafka = Kafka::offered_blocking()?;
        if let (Source::Url(postgres), Source::Url(redis), Some(kafka)) =
            (Source::find()?, Source::find_redis()?, &kafka)
        {
            eprintln!(
                "these servers are there already; if docker compose runs them, `docker compose down` ends them"
            );
            print!("{}", export(&postgres, &redis, &kafka.bootstrap()));
            return Ok(());
        }
        if kafka.is_none() {
            // Before the keeper, whose start has a bound and whose words nobody sees.
            if let Some(newest) = Kafka::versions().last() {
                Kafka::fetch_blocking(newest)?;
            }
        }
        start(&files)?;
        eprintln!(
            "PostgreSQL, Redis and Kafka are up until `cargo xtask down`; `eval \"$(cargo xtask env)\"` leads the tests to them"
        );
    }
    env()
}

/// Prints the settings that lead to the servers that are up.
pub(crate) fn env() -> Result<()> {
    let files = Files::new();
    if !files.is_kept()? {
        bail!("no server is up; start them with\n    cargo xtask up");
    }
    print!(
        "{}",
        fs::read_to_string(&files.env).context("the servers are still starting; try again")?
    );
    Ok(())
}

/// Ends the servers that are up.
pub(crate) fn down() -> Result<()> {
    let files = Files::new();
    if !files.is_kept()? {
        eprintln!("no server is up");
        return Ok(());
    }
    let pid = fs::read_to_string(&files.pid)?;
    let pid = pid
        .trim()
        .parse()
        .with_context(|| format!("{} holds no process id", files.pid.display()))?;
    kill(Pid::from_raw(pid), Signal::SIGTERM)
        .with_context(|| format!("cannot end process {pid}"))?;
    wait_until("the keeper ends", Duration::from_secs(10), || {
        Ok(!files.is_kept()?)
    })?;
    fs::remove_dir_all(&files.folder)?;
    eprintln!("PostgreSQL, Redis and Kafka are down");
    Ok(())
}

/// The keeper itself: starts what nobody else runs, says where it is, and holds it until it is killed.
///
/// The testkit's supervisors end the servers when this process ends, however it does.
pub(crate) fn keep() -> Result<()> {
    let files = Files::new();
    fs::create_dir_all(&files.folder)?;
    let lock = open(&files.lock)?;
    lock.try_lock().context("another keeper is there")?;
    fs::write(&files.pid, std::process::id().to_string())?;
    let (postgres, _held) = match Source::find()? {
        Source::Url(url) => (url, None),
        _ => {
            let server = Postgres::builder().start_blocking()?;
            (server.url(), Some(server))
        }
    };
    let (redis, _kept) = match Source::find_redis()? {
        Source::Url(url) => (url, None),
        _ => {
            // Each test takes one.
            let server = Redis::builder().setting("databases", "1000");
            let server = server.start_blocking()?;
            (server.url(), Some(server))
        }
    };
    // The keeper's process group has one of its own, where nobody offers any.
    let kafka = Kafka::start_blocking()?;
    let finished = files.env.with_extension("new");
    fs::write(&finished, export(&postgres, &redis, &kafka.bootstrap()))?;
    fs::rename(finished, &files.env)?;
    loop {
        thread::park();
    }
}

fn start(files: &Files) -> Result<()> {
    fs::create_dir_all(&files.folder)?;
    let _stale = fs::remove_file(&files.env);
    let log = File::create(&files.log)?;
    let mut keeper = Command::new(std::env::current_exe()?)
        .arg(TASK)
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // A Ctrl-C at this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .context("cannot start the keeper")?;
    wait_until("the servers are up", Duration::from_secs(90), || {
        if let Some(status) = keeper.try_wait()? {
            bail!(
                "the servers did not start ({status}): {}",
                fs::read_to_string(&files.log)?.trim()
            );
        }
        Ok(files.env.exists())
    })
}

fn export(postgres: &str, redis: &str, kafka: &str) -> String {
    let line =
        |(name, url): (&str, &str)| format!("export {name}='{}'\n", url.replace('\'', "%27"));
    [(POSTGRES, postgres), (REDIS, redis), (KAFKA, kafka)]
        .map(line)
        .concat()
}

/// What keeper and tasks tell each other.
struct Files {
    folder: PathBuf,
    lock: PathBuf,
    pid: PathBuf,
    env: PathBuf,
    log: PathBuf,
}

impl Files {
    fn new() -> Self {
        Self::in_folder(workspace::root().join("target/servers"))
    }

    fn in_folder(folder: PathBuf) -> Self {
        let file = |name| folder.join(name);
        Self {
            lock: file("lock"),
            pid: file("pid"),
            env: file("env"),
            log: file("log"),
            folder,
        }
    }

    /// Whether a keeper lives.
    fn is_kept(&self) -> Result<bool> {
        if !self.lock.exists() {
            return Ok(false);
        }
        match open(&self.lock)?.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => {
                Err(error).context("cannot look at the keeper's lock")
            }
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_tells_whether_a_keeper_lives() {
        let folder = std::env::temp_dir().join(format!("xtask-keeper-{}", std::process::id()));
        let files = Files::in_folder(folder.clone());
        assert!(!files.is_kept().unwrap(), "no folder yet");
        fs::create_dir_all(&folder).unwrap();
        let lock = open(&files.lock).unwrap();
        assert!(
            !files.is_kept().unwrap(),
            "left behind by a keeper that was killed"
        );
        lock.try_lock().unwrap();
        assert!(files.is_kept().unwrap());
        drop(lock);
        assert!(!files.is_kept().unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_settings_can_be_evaluated_by_a_shell() {
        assert_eq!(
            export("postgres://u:p'w@h:1/d", "redis://h:2", "h:3,h:4"),
            "export CQI_TEST_POSTGRES_URL='postgres://u:p%27w@h:1/d'\n\
             export CQI_TEST_REDIS_URL='redis://h:2'\n\
             export CQI_TEST_KAFKA_BROKERS='h:3,h:4'\n"
        );
    }
}
