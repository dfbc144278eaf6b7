use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cqi_errors::Result;

use crate::compose::Service;
use crate::install::{install, missing};
use crate::{command, postgres, redis};

/// How long a program may take that answers at once where it works.
const PROBE: Duration = Duration::from_secs(5);

/// A server that somebody else may run for the tests.
pub(crate) struct Offer {
    /// The variable that names its URL.
    pub(crate) variable: &'static str,
    pub(crate) service: Service<'static>,
}

pub(crate) const POSTGRES: Offer = Offer {
    variable: "CQI_TEST_POSTGRES_URL",
    service: Service {
        name: "postgres",
        url: "postgres://postgres:postgres@127.0.0.1:5432/postgres",
        probe: postgres::probe,
    },
};

pub(crate) const REDIS: Offer = Offer {
    variable: "CQI_TEST_REDIS_URL",
    service: Service {
        name: "redis",
        url: "redis://127.0.0.1:6379",
        probe: redis::probe,
    },
};

#[cfg(feature = "kafka")]
pub(crate) const KAFKA: Offer = Offer {
    variable: "CQI_TEST_KAFKA_BROKERS",
    service: Service {
        name: "kafka",
        url: "127.0.0.1:9092",
        probe: crate::kafka::probe,
    },
};

impl Offer {
    /// Returns the URL that the variable holds.
    pub(crate) fn by_variable(&self) -> Option<String> {
        let url = std::env::var(self.variable).unwrap_or_default();
        Some(url.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// Lets docker compose run the server, where that is possible.
    pub(crate) fn by_compose(&self) -> Option<String> {
        let folder = std::env::current_dir().ok()?;
        self.service.up("docker".as_ref(), &folder)
    }
}

/// Where tests get a server from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A server that runs already, by its URL; it may hold a password.
    Url(String),
    /// The folder with `initdb`, `postgres` and the other programs, or with `redis-server`.
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
        Self::of(&POSTGRES, find_binaries)
    }

    /// Finds Redis as [`find`](Source::find) finds PostgreSQL: by `CQI_TEST_REDIS_URL`, the service
    /// `redis`, and the program and package `redis-server`.
    ///
    /// # Errors
    /// As [`find`](Source::find).
    pub fn find_redis() -> Result<Self> {
        Self::of(&REDIS, || {
            let program = find_program("redis-server")?;
            Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
        })
    }

    fn of(offer: &Offer, binaries: impl FnOnce() -> Result<PathBuf>) -> Result<Self> {
        match offer.by_variable().or_else(|| offer.by_compose()) {
            Some(url) => Ok(Self::Url(url)),
            None => binaries().map(Self::Binaries),
        }
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
    find_tool(name, name)
}

/// Finds a program, or installs the package that has it; blocks.
pub(crate) fn find_tool(name: &str, package: &str) -> Result<PathBuf> {
    if let Some(program) = on_path(name) {
        return Ok(program);
    }
    install(package)?;
    on_path(name).ok_or_else(|| missing(package))
}

/// Finds a program where the shell would, or root's shell.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let config = || {
        let config = command::run(Command::new("pg_config").arg("--bindir"), PROBE);
        config.ok().map(|folder| PathBuf::from(folder.trim()))
    };
    newest(Path::new("/usr/lib/postgresql"))
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|folder| is_complete(folder))
        .or_else(|| config().filter(|folder| is_complete(folder)))
}

/// Returns the programs' folders of all versions installed side by side, the newest first.
fn newest(versions: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|name| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_newest_version_wins_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9", "15", "16", "common"] {
            let bin = folder.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            // The client's package alone makes a folder without a server.
            if version != "16" {
                fs::write(bin.join("postgres"), "").unwrap();
                fs::write(bin.join("initdb"), "").unwrap();
            }
        }
        let found: Vec<PathBuf> = newest(folder.path())
            .into_iter()
            .filter(|bin| is_complete(bin))
            .collect();
        assert_eq!(
            found,
            ["15", "9"].map(|version| folder.path().join(version).join("bin"))
        );
    }
}
