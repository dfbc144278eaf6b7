//! The first start of a version, which makes the others short: it leaves an archive of the classes
//! that a broker loads, and a formatted folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cqi_errors::{Result, ResultExt};
use nix::sys::signal::Signal;

use super::builder::Options;
use super::distribution::Distribution;
use super::launch::{self, FILE, Mode, Node, SERVER, START};
use crate::command::say;
use crate::process;
use crate::supervisor::{Supervisor, token};
use crate::wait::Deadline;

/// How long the archive may take to be written.
const WRITE: Duration = Duration::from_secs(120);

const ARCHIVE: &str = "classes.jsa";

/// The file that says what a folder of data belongs to, and what comes before the cluster's id in it.
const META: &str = "data/meta.properties";
const CLUSTER: &str = "cluster.id=";

/// What a first start has left.
#[derive(Clone, Debug)]
pub(super) struct Training {
    pub(super) folder: PathBuf,
}

impl Training {
    /// Returns the option that names the archive.
    pub(super) fn archive(&self) -> Vec<String> {
        let archive = self.folder.join(ARCHIVE);
        if archive.is_file() {
            vec![format!("-XX:SharedArchiveFile={}", archive.display())]
        } else {
            Vec::new()
        }
    }

    /// Makes the folder of a broker's data, without a start of Java.
    pub(super) fn format(&self, supervisor: &Supervisor, node: &Node, cluster: &str) -> Result<()> {
        let formatted = self.folder.join("data").display().to_string();
        let copy = ["cp", "-R", &formatted, "data"];
        supervisor.complete("format", &copy, START)?;
        let meta = self.folder.join(META);
        let meta = fs::read_to_string(&meta).with_context(|| format!("read {}", meta.display()))?;
        supervisor
            .write(META, &for_node(&meta, node.id, cluster))
            .map(drop)
    }
}

/// Makes one broker's file of another's; Kafka gives the folder an id of its own.
fn for_node(meta: &str, id: i32, cluster: &str) -> String {
    let own = ["node.id=", "directory.id=", CLUSTER];
    let others = meta
        .lines()
        .filter(|line| !own.iter().any(|name| line.starts_with(name)));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    format!("{others}node.id={id}\n{CLUSTER}{cluster}\n")
}

/// Makes an id for a cluster: 16 random bytes in Base64, as Kafka has them.
pub(super) fn new_cluster() -> String {
    // Hexadecimal digits are of Base64 as well; the last character holds two bits.
    format!("{}{:.5}A", token(), token())
}

/// Returns the id of the cluster that the folder of a broker's data belongs to.
pub(super) fn cluster_of(supervisor: &Supervisor) -> Option<String> {
    let meta = fs::read_to_string(supervisor.directory().join(META)).ok()?;
    let mut lines = meta.lines();
    lines.find_map(|line| line.strip_prefix(CLUSTER).map(str::to_owned))
}

/// Starts a version once, and writes what that leaves.
pub(super) fn run(distribution: &Distribution, folder: &Path) -> Result<()> {
    say(&format!(
        "starting Kafka {} once, to make later starts short",
        distribution.version
    ));
    let deadline = Deadline::after(START);
    loop {
        let supervisor = Supervisor::private()?;
        let nodes = [Node::plan(1, &Options::default())?];
        match train(&supervisor, distribution, &nodes, folder) {
            Err(error) if launch::port_is_taken(&error) && !deadline.passed() => {}
            outcome => return outcome,
        }
    }
}

fn train(
    supervisor: &Supervisor,
    distribution: &Distribution,
    nodes: &[Node; 1],
    folder: &Path,
) -> Result<()> {
    let (options, node) = (Options::default(), &nodes[0]);
    let cluster = new_cluster();
    let mode = Mode::Raft(&cluster);
    launch::write(supervisor, &options, (node, nodes), mode)?;
    launch::format(supervisor, distribution, &cluster, &[], &[])?;
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("make folder {}", data.display()))?;
    for file in ["meta.properties", "bootstrap.checkpoint"] {
        // The second came with Kafka 3.3.
        let from = supervisor.directory().join("data").join(file);
        if from.exists() {
            copy(&from, &data.join(file))?;
        }
    }
    let archive = vec![format!("-XX:ArchiveClassesAtExit={ARCHIVE}")];
    let arguments = ["kafka.Kafka", FILE];
    launch::run(
        supervisor,
        &launch::java(distribution, &options, &archive, &arguments),
    )?;
    launch::wait_until_ready(&[(supervisor, node)], 1, Deadline::after(START))?;
    node.admin().create_topic("training", 1, 1, &[])?;
    if let Some(pid) = supervisor.pid(SERVER) {
        process::send(pid, Signal::SIGTERM)?;
    }
    launch::wait_for_end(supervisor, WRITE)?;
    // Where the machine cannot write one, brokers start without.
    let archive = supervisor.directory().join(ARCHIVE);
    if archive.exists() {
        copy(&archive, &folder.join(ARCHIVE))?;
    }
    Ok(())
}

/// Copies a file for all to read.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copy = || {
        fs::copy(from, to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o644))
    };
    copy().with_context(|| format!("copy {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_for_another_broker() {
        let meta = "#\nnode.id=1\ndirectory.id=lP1aqatZaSGmmOR7QEBXWw\nversion=1\ncluster.id=A\n";
        let own = "#\nversion=1\nnode.id=3\ncluster.id=B\n";
        assert_eq!(for_node(meta, 3, "B"), own);
    }
}
