//! The Java machine that runs Kafka.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cqi_errors::Result;

use crate::command;
use crate::discovery::on_path;
use crate::install::{JAVA, install, missing};

/// How long it may take to say its version.
const PROBE: Duration = Duration::from_secs(20);

/// A Java machine.
#[derive(Clone, Debug)]
pub(super) struct Java {
    pub(super) program: PathBuf,
    /// What tells this machine from others, so that nothing made by one is given to another.
    pub(super) build: String,
}

impl Java {
    /// Finds one that runs a version of Kafka, or installs it; blocks.
    ///
    /// Looks in `JAVA_HOME`, on `PATH` and in `/usr/lib/jvm`.
    pub(super) fn find(kafka: (u32, u32)) -> Result<Self> {
        if let Some(java) = search(kafka) {
            return Ok(java);
        }
        install(JAVA)?;
        search(kafka).ok_or_else(|| missing(JAVA))
    }
}

fn search(kafka: (u32, u32)) -> Option<Java> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let mut installed: Vec<PathBuf> = installed
        .map(|entry| entry.path().join("bin/java"))
        .collect();
    installed.sort();
    home.into_iter()
        .chain(on_path("java"))
        .chain(installed)
        .find_map(|program| Java::runs(&program, kafka))
}

impl Java {
    fn runs(program: &Path, kafka: (u32, u32)) -> Option<Self> {
        // Links lead to the folder that tells the version without a start of the machine.
        let program = fs::canonicalize(program).ok()?;
        let release = program.parent()?.parent()?.join("release");
        let build = fs::read_to_string(release)
            .or_else(|_| command::run(Command::new(&program).arg("-version"), PROBE))
            .ok()?;
        // Kafka before 4.0 needs what Java 24 has removed, to know who is logged in.
        let newest = if kafka < (4, 0) { 23 } else { u32::MAX };
        let fits = version(&build).is_some_and(|version| (17..=newest).contains(&version));
        fits.then_some(Self { program, build })
    }
}

/// Reads the major version of what is written as `version "17.0.15"` or `JAVA_VERSION="17.0.15"`.
fn version(text: &str) -> Option<u32> {
    let marks = ["JAVA_VERSION=\"", "version \""];
    let (_, version) = marks.iter().find_map(|mark| text.split_once(mark))?;
    let digits = version.find(|c: char| !c.is_ascii_digit())?;
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::script;

    #[test]
    fn a_version_is_read_from_either_text() {
        assert_eq!(version("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        let release = "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"25\"\nOS=\"Linux\"\n";
        assert_eq!(version(release), Some(25));
        assert_eq!(version("java version \"1.8.0_402\""), Some(1));
        assert_eq!(version("sh: not found"), None);
    }

    #[test]
    fn a_machine_runs_the_kafkas_of_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let java = script(&bin, "java", "echo 'openjdk version \"11.0.2\"' >&2");
        assert!(Java::runs(&java, (3, 0)).is_none());
        for (release, old, new) in [(17, true, true), (23, true, true), (25, false, true)] {
            let text = format!("JAVA_VERSION=\"{release}.0.1\"\n");
            fs::write(folder.path().join("release"), text).unwrap();
            assert_eq!(Java::runs(&java, (3, 9)).is_some(), old, "{release}");
            assert_eq!(Java::runs(&java, (4, 0)).is_some(), new, "{release}");
        }
    }
}
