//! The server of a compose file, where an engine answers.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cqi_errors::Result;

use crate::command::{self, say};

/// How long an engine may take to say that it is there.
const PROBE: Duration = Duration::from_secs(5);

/// How long it may take to download the server and to start it.
const UP: Duration = Duration::from_secs(300);

/// A service of the compose file.
#[derive(Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) name: &'a str,
    pub(crate) url: &'a str,
    /// Fails where no such server answers at a URL.
    pub(crate) probe: fn(&str) -> Result<()>,
}

impl Service<'_> {
    /// Brings the service of the nearest compose file up, and returns its URL.
    pub(crate) fn up(&self, docker: &OsStr, folder: &Path) -> Option<String> {
        let Self { name, url, probe } = self;
        let file = self.file(folder)?;
        command::run(Command::new(docker).args(["compose", "version"]), PROBE).ok()?;
        command::run(Command::new(docker).arg("info"), PROBE).ok()?;
        say(&format!(
            "starting {name} of {} with docker compose",
            file.display()
        ));
        let mut up = Command::new(docker);
        up.args(["compose", "--file"])
            .arg(&file)
            .args(["up", "--detach", "--wait", name]);
        let answered = command::run(&mut up, UP)
            .and_then(|_| probe(url).map_err(|error| format!("{error:#}")));
        match answered {
            Ok(()) => Some((*url).to_owned()),
            Err(problem) => {
                say(&format!(
                    "no server by docker compose, looking for local programs: {problem}"
                ));
                None
            }
        }
    }

    /// Finds the nearest compose file that has the service.
    pub(crate) fn file(&self, folder: &Path) -> Option<PathBuf> {
        let files = folder
            .ancestors()
            .map(|folder| folder.join("docker-compose.yml"));
        let heading = format!("  {}:", self.name);
        files.into_iter().find(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.lines().any(|line| line.trim_end() == heading)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::command::tests::script;
    use crate::discovery::{POSTGRES, REDIS};
    use crate::{Postgres, Redis};

    #[test]
    fn a_server_counts_when_it_answers() {
        let postgres = Postgres::builder().private().start_blocking().unwrap();
        let redis = Redis::builder().private().start_blocking().unwrap();
        let stop: [&dyn Fn(); 2] = [&|| postgres.stop().unwrap(), &|| redis.stop().unwrap()];
        let urls = [postgres.url(), redis.url()];
        for ((offer, url), stop) in [POSTGRES, REDIS].iter().zip(&urls).zip(stop) {
            let folder = tempfile::tempdir().unwrap();
            let below = folder.path().join("crates/one");
            fs::create_dir_all(&below).unwrap();
            let docker = script(folder.path(), "docker", "echo $@ >>$(dirname $0)/calls");
            let service = Service {
                url,
                ..offer.service
            };
            assert_eq!(service.up(docker.as_os_str(), &below), None);

            let file = format!("services:\n  {}:\n", service.name);
            fs::write(folder.path().join("docker-compose.yml"), file).unwrap();
            assert_eq!(
                service.up(docker.as_os_str(), &below).as_deref(),
                Some(url.as_str())
            );
            let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
            assert!(
                calls.starts_with("compose version\ninfo\ncompose --file "),
                "{calls}"
            );
            let up = format!("docker-compose.yml up --detach --wait {}\n", service.name);
            assert!(calls.ends_with(&up), "{calls}");

            stop();
            assert_eq!(service.up(docker.as_os_str(), &below), None);
            let broken = script(folder.path(), "broken", "exit 1");
            assert_eq!(service.up(broken.as_os_str(), &below), None);
        }
    }
}
