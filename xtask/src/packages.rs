//! The published crates as crates.io would get them: packed, unpacked and compiled against each other.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

use crate::workspace::{self, cargo};

/// The line that does the same, but for [`forget`].
pub(crate) const LINE: &str = "cargo package --workspace --allow-dirty --quiet";

/// Packs every crate and compiles what was packed.
///
/// # Errors
/// When a package lacks a file, or its manifest something that crates.io asks for.
pub(crate) fn run() -> Result<()> {
    if let Some(registry) = cargo_home().map(|home| home.join("registry")) {
        forget(&registry.join("src"))?;
        forget(&registry.join("cache"))?;
    }
    let args = ["package", "--workspace", "--allow-dirty", "--quiet"];
    workspace::run(&mut cargo(args))
}

/// Removes the crates that earlier runs left in Cargo's home.
///
/// Cargo unpacks the siblings of a package there, under the path of the target folder, and takes what it
/// finds for the same version: sources of an earlier commit. A registry without a host is such a path.
fn forget(registries: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(registries) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for left in fs::read_dir(entry.path())?.flatten() {
            if left.file_name().to_string_lossy().starts_with("cqi-") {
                remove(&left.path())
                    .with_context(|| format!("cannot remove {}", left.path().display()))?;
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_earlier_check_left_is_removed() {
        let registries = env::temp_dir().join(format!("cqi-packages-{}", std::process::id()));
        let left = registries.join("-0123/cqi-errors-0.1.0/src");
        let published = registries.join("index.crates.io-4567/cqi-errors-0.1.0");
        let foreign = registries.join("-0123/other-0.1.0");
        for folder in [&left, &published, &foreign] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(registries.join("-0123/cqi-log-0.1.0.crate"), "").unwrap();

        forget(&registries).unwrap();

        assert!(!left.exists() && !registries.join("-0123/cqi-log-0.1.0.crate").exists());
        assert!(published.exists() && foreign.exists());
        fs::remove_dir_all(registries).unwrap();
    }
}
