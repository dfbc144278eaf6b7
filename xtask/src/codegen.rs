//! Files that are written from the crates' own types and contracts, and checked in.

mod contracts;
mod metrics;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cqi_config::Config;

use crate::workspace;

/// Whether to mend what is out of date, or to fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// A file as it has to be.
struct Generated {
    /// Relative to the root.
    path: String,
    content: Vec<u8>,
}

impl Generated {
    fn text(path: &str, text: String) -> Self {
        Self {
            path: path.to_owned(),
            content: text.into_bytes(),
        }
    }
}

fn generated() -> Result<Vec<Generated>> {
    let mut files = vec![
        Generated::text(
            "crates/cqi-config/schema.json",
            cqi_config::schema_json::<Config>(),
        ),
        Generated::text(
            "crates/cqi-config/sample.yaml",
            cqi_config::sample::<Config>(),
        ),
        Generated::text("crates/cqi-metrics/METRICS.md", metrics::catalogue()?),
    ];
    files.extend(contracts::files()?);
    Ok(files)
}

/// Writes every generated file, or fails with the differences.
pub(crate) fn run(mode: Mode) -> Result<()> {
    run_in(&workspace::root(), &generated()?, mode)
}

fn run_in(root: &Path, files: &[Generated], mode: Mode) -> Result<()> {
    let mut differences = Vec::new();
    for file in files {
        let path = root.join(&file.path);
        // A missing file differs like an empty one.
        if fs::read(&path).unwrap_or_default() == file.content {
            continue;
        }
        match mode {
            Mode::Write => {
                fs::write(&path, &file.content)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                println!("wrote {}", file.path);
            }
            Mode::Check => differences.push(difference(&path, file)?),
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "generated files are out of date:\n\n{}\nwrite them with\n    cargo xtask codegen",
        differences.join("\n")
    );
}

/// The lines that differ, as `git diff` shows them.
fn difference(path: &Path, file: &Generated) -> Result<String> {
    let wanted = std::env::temp_dir().join(format!("xtask-codegen-{}", std::process::id()));
    fs::write(&wanted, &file.content)?;
    let checked_in = if path.exists() {
        path.to_path_buf()
    } else {
        PathBuf::from("/dev/null")
    };
    let output = Command::new("git")
        .args(["diff", "--no-index", "--no-color", "--no-prefix", "-U1"])
        .args([&checked_in, &wanted])
        .output();
    fs::remove_file(&wanted)?;
    let diff = String::from_utf8_lossy(&output.context("cannot start git")?.stdout).into_owned();
    // The first four lines name the temporary file; of what is no text there are no others.
    let hunks = match diff.find("@@") {
        Some(start) => diff[start..].trim_end(),
        None => "(binary)",
    };
    Ok(format!("{}\n{hunks}\n", file.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_files_are_up_to_date() {
        if let Err(error) = run(Mode::Check) {
            panic!("{error:#}");
        }
    }

    #[test]
    fn a_difference_is_shown_and_written() {
        let root = std::env::temp_dir().join(format!("xtask-codegen-test-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("a"), "one\ntwo\n").unwrap();
        let files = |text: &str| [Generated::text("a", text.to_owned())];
        run_in(&root, &files("one\ntwo\n"), Mode::Check).unwrap();
        let error = run_in(&root, &files("one\n2\n"), Mode::Check)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"),
            "{error}"
        );
        assert!(
            error.ends_with("write them with\n    cargo xtask codegen"),
            "{error}"
        );
        let error = run_in(&root, &files("\0"), Mode::Check).unwrap_err();
        assert!(error.to_string().contains("a\n(binary)\n"), "{error}");
        run_in(&root, &files("one\n2\n"), Mode::Write).unwrap();
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "one\n2\n");
        fs::remove_dir_all(root).unwrap();
    }
}
