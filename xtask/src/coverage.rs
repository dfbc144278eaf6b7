//! Line coverage of each crate by its own tests.

use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tools;
use crate::workspace::{self, cargo};

/// Debian's names for the LLVM that matches the compiler; see `rustc --version --verbose`.
const LLVM: [(&str, &str); 2] = [
    ("LLVM_COV", "llvm-cov-22"),
    ("LLVM_PROFDATA", "llvm-profdata-22"),
];

/// Prints a table, and fails when a crate has less than `min` percent.
pub(crate) fn run(min: f64) -> Result<()> {
    tools::require(&["cargo-llvm-cov", tools::NEXTEST])?;
    let llvm = llvm()?;
    let llvm_cov = |args: &[&str]| {
        let mut command = cargo(["llvm-cov"]);
        command.args(args).envs(llvm.iter().copied());
        command
    };

    workspace::run(&mut llvm_cov(&["clean", "--workspace"]))?;
    let mut rows = Vec::new();
    for name in crates()? {
        println!("\n==> {name}");
        workspace::run(&mut llvm_cov(&["clean", "--profraw-only"]))?;
        let filter = format!("package(={name})");
        // The whole workspace is compiled, once, and one crate's tests run.
        workspace::run(&mut llvm_cov(&[
            "nextest",
            "--no-report",
            "--workspace",
            "--all-features",
            "-E",
            &filter,
        ]))?;
        let report = workspace::output(&mut llvm_cov(&["report", "--json", "--summary-only"]))?;
        let report = serde_json::from_str(&report).context("cannot read the coverage report")?;
        let lines = Lines::of(
            &report,
            &workspace::root().join("crates").join(&name).join("src"),
        );
        rows.push((name, lines));
    }

    println!(
        "\n{:<16} {:>8} {:>8} {:>8}",
        "crate", "lines", "covered", "percent"
    );
    for (name, lines) in &rows {
        println!(
            "{name:<16} {:>8} {:>8} {:>8.1}",
            lines.all,
            lines.covered,
            lines.percent()
        );
    }
    let low: Vec<_> = rows
        .iter()
        .filter(|(_, lines)| lines.percent() < min)
        .map(|(name, _)| name.as_str())
        .collect();
    if !low.is_empty() {
        bail!(
            "less than {min} % of the lines are covered in {}",
            low.join(", ")
        );
    }
    Ok(())
}

/// The settings that lead cargo-llvm-cov to LLVM's tools; none when rustup has them.
fn llvm() -> Result<Vec<(&'static str, &'static str)>> {
    if LLVM
        .iter()
        .all(|(setting, _)| env::var_os(setting).is_some())
    {
        return Ok(Vec::new());
    }
    if LLVM.iter().all(|(_, program)| workspace::on_path(program)) {
        return Ok(LLVM.to_vec());
    }
    let sysroot =
        workspace::output(std::process::Command::new("rustc").args(["--print", "target-libdir"]))?;
    if Path::new(sysroot.trim())
        .with_file_name("bin")
        .join("llvm-cov")
        .is_file()
    {
        return Ok(Vec::new());
    }
    bail!(
        "llvm-cov and llvm-profdata not found; install them with\n    apt-get install llvm-22\n\
         or\n    rustup component add llvm-tools"
    );
}

/// The members under `crates/`, in order.
fn crates() -> Result<Vec<String>> {
    let folder = workspace::root().join("crates");
    let entries = folder
        .read_dir()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    let folders = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").is_file());
    let mut names: Vec<_> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// How many lines there are, and how many ran.
#[derive(Debug, Default, PartialEq)]
struct Lines {
    all: u64,
    covered: u64,
}

impl Lines {
    /// Adds up the files below `folder`.
    fn of(report: &Value, folder: &Path) -> Self {
        let mut lines = Self::default();
        for file in report["data"][0]["files"].as_array().into_iter().flatten() {
            if file["filename"]
                .as_str()
                .is_some_and(|name| Path::new(name).starts_with(folder))
            {
                let summary = &file["summary"]["lines"];
                lines.all += summary["count"].as_u64().unwrap_or(0);
                lines.covered += summary["covered"].as_u64().unwrap_or(0);
            }
        }
        lines
    }

    #[allow(clippy::cast_precision_loss, reason = "line counts are small")]
    fn percent(&self) -> f64 {
        if self.all == 0 {
            100.0
        } else {
            self.covered as f64 * 100.0 / self.all as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_files_of_one_crate_count() {
        let file = |name: &str, count: u32, covered: u32| json!({ "filename": name, "summary": { "lines": { "count": count, "covered": covered } } });
        let report = json!({ "data": [{ "files": [
            file("/w/crates/cqi-db/src/a.rs", 10, 9), file("/w/crates/cqi-db/src/b.rs", 30, 21),
            file("/w/crates/cqi-db/src-more/a.rs", 50, 0), file("/w/xtask/src/main.rs", 50, 0),
        ]}]});
        let lines = Lines::of(&report, Path::new("/w/crates/cqi-db/src"));
        assert_eq!(
            lines,
            Lines {
                all: 40,
                covered: 30
            }
        );
        assert!((lines.percent() - 75.0).abs() < f64::EPSILON);
    }
}
