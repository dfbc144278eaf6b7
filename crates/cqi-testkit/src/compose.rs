//! The server of a compose file, where an engine answers.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{self, say};
use crate::postgres::{Address, admin};

/// The server of the compose file.
pub(crate) const URL: &str = "postgres://postgres:postgres@127.0.0.1:5432/postgres";

/// How long an engine may take to say that it is there.
const PROBE: Duration = Duration::from_secs(5);

/// How long it may take to download the server and to start it.
const UP: Duration = Duration::from_secs(300);

/// Brings the service `postgres` of the nearest compose file up, and returns its URL.
pub(crate) fn up(docker: &OsStr, folder: &Path, url: &str) -> Option<String> {
    let file = nearest(folder)?;
    command::run(Command::new(docker).args(["compose", "version"]), PROBE).ok()?;
    command::run(Command::new(docker).arg("info"), PROBE).ok()?;
    say(&format!(
        "starting postgres of {} with docker compose",
        file.display()
    ));
    let mut up = Command::new(docker);
    up.args(["compose", "--file"])
        .arg(&file)
        .args(["up", "--detach", "--wait", "postgres"]);
    let answered = command::run(&mut up, UP).and_then(|_| {
        let server = Address::parse(url).and_then(|server| admin::execute(&server, "SELECT 1"));
        server.map_err(|error| format!("{error:#}"))
    });
    match answered {
        Ok(()) => Some(url.to_owned()),
        Err(problem) => {
            say(&format!(
                "no server by docker compose, looking for local programs: {problem}"
            ));
            None
        }
    }
}

fn nearest(folder: &Path) -> Option<PathBuf> {
    let files = folder
        .ancestors()
        .map(|folder| folder.join("docker-compose.yml"));
    files.into_iter().find(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.trim_end() == "  postgres:")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Postgres;
    use crate::command::tests::script;

    #[test]
    fn a_server_counts_when_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("crates/one");
        fs::create_dir_all(&below).unwrap();
        let docker = script(folder.path(), "docker", "echo $@ >>$(dirname $0)/calls");
        assert_eq!(up(docker.as_os_str(), &below, URL), None);

        fs::write(
            folder.path().join("docker-compose.yml"),
            "services:\n  postgres:\n",
        )
        .unwrap();
        let server = Postgres::builder().private().start_blocking().unwrap();
        assert_eq!(
            up(docker.as_os_str(), &below, &server.url()),
            Some(server.url())
        );
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        assert!(
            calls.starts_with("compose version\ninfo\ncompose --file "),
            "{calls}"
        );
        assert!(
            calls.ends_with("docker-compose.yml up --detach --wait postgres\n"),
            "{calls}"
        );

        server.stop().unwrap();
        assert_eq!(up(docker.as_os_str(), &below, &server.url()), None);
        let broken = script(folder.path(), "broken", "exit 1");
        assert_eq!(up(broken.as_os_str(), &below, &server.url()), None);
    }
}
