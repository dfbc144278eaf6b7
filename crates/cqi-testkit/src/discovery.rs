use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cqi_errors::{Error, Result};
use nix::unistd::geteuid;

use crate::command;
use crate::postgres::Address;
use crate::postgres::admin;

/// The variable that names a PostgreSQL server for the tests to use.
const URL: &str = "CQI_TEST_POSTGRES_URL";

/// How long a program may take that answers at once where it works.
const PROBE: Duration = Duration::from_secs(5);

/// How long a program may take that downloads.
const INSTALL: Duration = Duration::from_secs(300);

/// The server of the compose file.
const COMPOSE_URL: &str = "postgres://postgres:postgres@127.0.0.1:5432/postgres";

/// Where tests get PostgreSQL from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A server that runs already, by its URL; it may hold a password.
    Url(String),
    /// The folder with `initdb`, `postgres` and the other programs.
    Binaries(PathBuf),
}

impl Source {
    /// Finds PostgreSQL; blocks for as long as programs must be asked or installed.
    ///
    /// In this order: the URL in `CQI_TEST_POSTGRES_URL`; the service `postgres` of the
    /// `docker-compose.yml` of this folder or one above it, where `docker compose` answers within
    /// 5 s; the local programs; on a Debian-like machine, as root, the package `postgresql`, with a
    /// line on stderr that says so.
    ///
    /// # Errors
    /// [`Kind::Permanent`](cqi_errors::Kind::Permanent) with the line that installs what is missing.
    pub fn find() -> Result<Self> {
        match std::env::var(URL) {
            Ok(url) if !url.trim().is_empty() => return Ok(Self::Url(url.trim().to_owned())),
            _ => {}
        }
        if let Some(url) = compose() {
            return Ok(Self::Url(url));
        }
        find_binaries().map(Self::Binaries)
    }
}

/// Finds the folder of the local PostgreSQL programs, or installs them: what a server of one's own
/// needs. Blocks.
///
/// Looks in `/usr/lib/postgresql/*/bin` (the newest), on `PATH` and where `pg_config --bindir`
/// points.
///
/// # Errors
/// As [`Source::find`].
pub fn find_binaries() -> Result<PathBuf> {
    if let Some(folder) = binaries() {
        return Ok(folder);
    }
    install("postgresql")?;
    binaries().ok_or_else(|| missing("postgresql"))
}

/// Finds a program beside PostgreSQL's, or installs the package of that name; blocks.
pub(crate) fn find_program(name: &str) -> Result<PathBuf> {
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
    };
    if let Some(program) = find() {
        return Ok(program);
    }
    install(name)?;
    find().ok_or_else(|| missing(name))
}

fn missing(package: &str) -> Error {
    let line = if cfg!(target_os = "macos") {
        format!("brew install {package}")
    } else if Path::new("/etc/debian_version").exists() {
        format!("sudo apt-get install -y {package}")
    } else if Path::new("/etc/alpine-release").exists() {
        format!("sudo apk add {package}")
    } else {
        format!(
            "sudo dnf install -y {}",
            package.replace("postgresql", "postgresql-server")
        )
    };
    let instead = match package {
        "postgresql" => format!(", or set {URL} to the URL of a server that may be used for tests"),
        _ => String::new(),
    };
    Error::permanent(format!(
        "tests need {package}, and there is none: install it with `{line}`{instead}"
    ))
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let config = command::run(Command::new("pg_config").arg("--bindir"), PROBE);
    versions
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(std::env::split_paths(&path))
        .chain(config.ok().map(|folder| PathBuf::from(folder.trim())))
        .find(|folder| {
            ["initdb", "postgres"]
                .iter()
                .all(|name| folder.join(name).is_file())
        })
}

#[expect(
    clippy::print_stderr,
    reason = "who waits for a download must know, and nothing is hidden"
)]
fn say(line: &str) {
    eprintln!("cqi-testkit: {line}");
}

/// Brings the service of the compose file up, where there are such a file and an engine.
fn compose() -> Option<String> {
    let file = compose_file(&std::env::current_dir().ok()?)?;
    command::run(Command::new("docker").args(["compose", "version"]), PROBE).ok()?;
    command::run(Command::new("docker").arg("info"), PROBE).ok()?;
    say(&format!(
        "starting postgres of {} with docker compose",
        file.display()
    ));
    let mut up = Command::new("docker");
    up.args(["compose", "--file"])
        .arg(&file)
        .args(["up", "--detach", "--wait", "postgres"]);
    let problem = match command::run(&mut up, INSTALL) {
        Err(output) => output,
        Ok(_) => match Address::parse(COMPOSE_URL)
            .and_then(|server| admin::execute(&server, "SELECT 1"))
        {
            Ok(()) => return Some(COMPOSE_URL.to_owned()),
            Err(error) => format!("{error:#}"),
        },
    };
    say(&format!(
        "docker compose gave no server, going on with local programs: {problem}"
    ));
    None
}

/// Finds the nearest compose file that has a service `postgres`.
fn compose_file(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .map(|folder| folder.join("docker-compose.yml"))
        .find(|file| {
            std::fs::read_to_string(file)
                .is_ok_and(|text| text.lines().any(|line| line.trim_end() == "  postgres:"))
        })
}

/// Installs a package where that needs nobody's consent: as root on a Debian-like machine.
fn install(package: &str) -> Result<()> {
    if !geteuid().is_root() || !Path::new("/etc/debian_version").exists() {
        return Err(missing(package));
    }
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command::run(&mut apt, INSTALL)
    };
    let install = ["install", "--yes", "--no-install-recommends", package];
    say(&format!(
        "running `apt-get {}`, since {package} is missing",
        install.join(" ")
    ));
    if apt(&install).is_ok() {
        return Ok(());
    }
    say("running `apt-get update` first");
    apt(&["update"])
        .and_then(|_| apt(&install))
        .map(drop)
        .map_err(|output| {
            missing(package).with_source(Error::permanent(format!("apt-get failed: {output}")))
        })
}
