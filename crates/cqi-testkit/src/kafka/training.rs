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
use super::launch::{self, FILE, Mode, Node, Ports, SERVER, START};
use crate::command::say;
use crate::process;
use crate::supervisor::Supervisor;
use crate::wait::Deadline;

/// How long the archive may take to be written.
const WRITE: Duration = Duration::from_secs(120);

const ARCHIVE: &str = "classes.jsa";

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
    pub(super) fn format(&self, supervisor: &Supervisor, node: &Node) -> Result<()> {
        let formatted = self.folder.join("data").display().to_string();
        let copy = ["cp", "-R", &formatted, "data"];
        supervisor.complete("format", &copy, START)?;
        let meta = self.folder.join("data/meta.properties");
        let meta = fs::read_to_string(&meta).with_context(|| format!("read {}", meta.display()))?;
        supervisor
            .write("data/meta.properties", &for_node(&meta, node.id))
            .map(drop)
    }
}

/// Makes one broker's file of another's; Kafka gives the folder an id of its own.
fn for_node(meta: &str, id: i32) -> String {
    let others = meta
        .lines()
        .filter(|line| !line.starts_with("node.id=") && !line.starts_with("directory.id="));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    format!("{others}node.id={id}\n")
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
        let nodes = [Node::plan(1, &Options::default(), &mut Ports::default())?];
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
    launch::write(supervisor, &options, (node, nodes), Mode::Raft)?;
    launch::format(supervisor, distribution, &[], &[])?;
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
        assert_eq!(for_node(meta, 3), "#\nversion=1\ncluster.id=A\nnode.id=3\n");
    }
}
