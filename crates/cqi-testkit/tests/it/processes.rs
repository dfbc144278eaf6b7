//! Test processes that share a server, and are killed.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use cqi_testkit::Postgres;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::connect;

/// The variable that makes a process of this binary a holder, and says of what.
const HOLD: &str = "CQI_TESTKIT_HOLD";

/// What is waited for ends within this: the grace of 3 s and a fast shutdown are in it.
pub(crate) const GONE: Duration = Duration::from_secs(15);

/// Holds a server for as long as its stdin is open; does nothing as a test.
#[tokio::test]
async fn holder() {
    let Ok(what) = std::env::var(HOLD) else {
        return;
    };
    let (url, _held): (String, Box<dyn std::any::Any>) = match what.as_str() {
        "shared" => {
            let database = Postgres::start().await.unwrap();
            (database.url(), Box::new(database))
        }
        "private" => {
            let server = Postgres::builder().private().start().await.unwrap();
            (server.url(), Box::new(server))
        }
        "frozen" => {
            let server = Postgres::builder().private().start().await.unwrap();
            server.freeze().unwrap();
            (server.url(), Box::new(server))
        }
        #[cfg(feature = "kafka")]
        other if other.starts_with("kafka") => crate::kafka_processes::hold(other).await,
        other => crate::redis_processes::hold(other).await.unwrap(),
    };
    println!("\nholds {url}");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A folder for temporary files like `/tmp`; it is empty when the servers have gone.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    folder
}

/// A process that holds a server until its stdin is closed.
pub(crate) struct Holder {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Waits until it has its server.
    pub(crate) fn url(&mut self) -> String {
        let mut lines = (&mut self.output).lines().map(Result::unwrap);
        lines
            .find_map(|line| line.strip_prefix("holds ").map(str::to_owned))
            .unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        self.output.read_to_end(&mut Vec::new()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

pub(crate) fn spawn(what: &str, folder: &Path) -> Holder {
    Holder::spawn(command(what, folder))
}

pub(crate) fn command(what: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "processes::holder", "--nocapture"])
        .env(HOLD, what)
        .env("TMPDIR", folder)
        .env("NEXTEST_RUN_ID", "run-of-processes")
        .env_remove("CQI_TEST_POSTGRES_URL")
        .env_remove("CQI_TEST_REDIS_URL")
        .env_remove("CQI_TEST_KAFKA_BROKERS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

pub(crate) async fn leaves_no_process_when_killed_after(what: &str, wait: Duration) {
    let folder = folder();
    let holder = spawn(what, folder.path());
    sleep(wait).await;
    holder.kill();
    // One that was killed before it had a supervisor leaves a folder without a server.
    let gone = async {
        while !processes(folder.path()).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(GONE, gone).await.unwrap();
}

pub(crate) fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// Lists the processes that work in the folder, as the system describes them.
pub(crate) fn processes(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let at = |name: &str| fs::read_link(entry.path().join(name)).unwrap_or_default();
            at("cwd").starts_with(folder)
        })
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .collect()
}

pub(crate) async fn gone(folder: &Path) -> Duration {
    let began = Instant::now();
    while !is_empty(folder) || !processes(folder).is_empty() {
        assert!(
            began.elapsed() < GONE,
            "still there: {:?}",
            processes(folder)
        );
        sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_killed_process_leaves_no_server_and_no_files() {
    for what in ["private", "frozen", "shared"] {
        let folder = folder();
        let mut holder = spawn(what, folder.path());
        let url = holder.url();
        assert!(!is_empty(folder.path()));
        assert!(!processes(folder.path()).is_empty());
        holder.kill();
        let took = gone(folder.path()).await;
        connect(&url).await.unwrap_err();
        // A server that must be killed is gone after 5 s; that of a run waits 3 s for another test.
        let bound = Duration::from_secs(if what == "shared" { 15 } else { 5 });
        assert!(took < bound, "{what}: gone after {took:?}");
    }
}

#[tokio::test]
async fn a_server_inherits_nothing_that_its_starter_had_open() {
    let (folder, other) = (folder(), folder());
    let inner = command("private", folder.path());
    let mut outer = Command::new("sh");
    outer
        .arg("-c")
        .arg("exec \"$@\" 7>\"$0\"")
        .arg(other.path().join("open"));
    outer
        .arg(inner.get_program())
        .args(inner.get_args())
        .stdin(Stdio::piped());
    outer.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    outer.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut holder = Holder::spawn(outer);
    holder.url();
    let has = |pid: &str, folder: &Path| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .flat_map(|file| fs::read_link(file.path()))
            .any(|file| file.starts_with(folder))
    };
    let servers = processes(folder.path());
    assert!(servers.len() > 2);
    assert!(has(&holder.child.id().to_string(), other.path()));
    for server in servers {
        assert!(
            !has(server.split(' ').next().unwrap(), other.path()),
            "{server}"
        );
    }
    holder.finish();
    gone(folder.path()).await;
}

#[tokio::test]
async fn a_process_killed_while_its_server_starts_leaves_no_process() {
    for wait in [10, 30, 100, 300, 600] {
        leaves_no_process_when_killed_after("private", Duration::from_millis(wait)).await;
    }
}

#[tokio::test]
async fn what_a_killed_supervisor_leaves_is_removed_by_the_next() {
    let folder = folder();
    let mut holder = spawn("private", folder.path());
    let url = holder.url();
    let servers = folder
        .path()
        .join(format!("cqi-testkit-{}", nix::unistd::geteuid()));
    let directory = fs::read_dir(&servers)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let script = directory.join("supervisor.sh");
    let supervisors = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            command
                .contains(script.to_str()?)
                .then_some(nix::unistd::Pid::from_raw(pid))
        });
    for supervisor in supervisors {
        nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    holder.kill();
    let fresh = servers.join("fresh");
    let stale = servers.join("stale");
    fs::create_dir(&fresh).unwrap();
    fs::write(&stale, "/there/is/none").unwrap();

    // What is new may be somebody's who is about to start.
    spawn_and_finish(folder.path());
    assert!(directory.exists() && fresh.exists() && stale.exists());
    connect(&url).await.unwrap();

    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for path in [&directory, &stale] {
        fs::File::open(path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    spawn_and_finish(folder.path());
    assert!(!directory.exists() && fresh.exists() && !stale.exists());
    connect(&url).await.unwrap_err();
    fs::remove_dir(fresh).unwrap();
    spawn_and_finish(folder.path());
    gone(folder.path()).await;
}

fn spawn_and_finish(folder: &Path) {
    let mut holder = spawn("private", folder);
    holder.url();
    holder.finish();
}

#[tokio::test]
async fn many_processes_share_one_server_and_outlive_each_other() {
    let folder = folder();
    let mut holders: Vec<Holder> = (0..8).map(|_| spawn("shared", folder.path())).collect();
    let urls: Vec<String> = holders.iter_mut().map(Holder::url).collect();
    let server = |url: &str| url.rsplit_once('/').unwrap().0.to_owned();
    let database = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
    let servers: std::collections::HashSet<String> = urls.iter().map(|url| server(url)).collect();
    let databases: std::collections::HashSet<String> =
        urls.iter().map(|url| database(url)).collect();
    assert_eq!((servers.len(), databases.len()), (1, 8));

    // The first is likely the one that started it; the last goes in peace.
    let last = holders.pop().unwrap();
    for holder in holders {
        holder.kill();
        connect(urls.last().unwrap()).await.unwrap();
    }
    // A process that comes within the grace finds the same server, and so does one after that.
    last.finish();
    sleep(Duration::from_secs(1)).await;
    let mut late = spawn("shared", folder.path());
    assert_eq!(server(&late.url()), server(&urls[0]));
    // One that joins keeps it from those that go.
    let mut later = spawn("shared", folder.path());
    assert_eq!(server(&later.url()), server(&urls[0]));
    late.finish();
    sleep(Duration::from_secs(4)).await;
    connect(&urls[0].replace(&database(&urls[0]), "postgres"))
        .await
        .unwrap();
    later.finish();
    sleep(Duration::from_secs(1)).await;
    let mut latest = spawn("shared", folder.path());
    assert_eq!(server(&latest.url()), server(&urls[0]));
    latest.finish();
    gone(folder.path()).await;
}

#[tokio::test]
async fn a_server_that_runs_already_is_used_by_its_url() {
    let server = Postgres::builder()
        .password("of the server")
        .private()
        .start()
        .await
        .unwrap();
    let folder = folder();
    let mut command = command("shared", folder.path());
    command.env("CQI_TEST_POSTGRES_URL", server.url());
    let mut holder = Holder::spawn(command);
    let url = holder.url();
    assert!(
        url.starts_with(server.url().strip_suffix("postgres").unwrap()),
        "{url}"
    );
    connect(&url).await.unwrap();
    holder.finish();
    let error = connect(&url).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "3D000", "{error:?}");
    gone(folder.path()).await;
}
