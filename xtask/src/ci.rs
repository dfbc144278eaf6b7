//! Every check of the project, cheapest first, on one target folder and one set of features.
//!
//! Clippy's results serve the documentation and the feature checks; what the codegen step compiles serves the tests.

use std::process::Command;

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::{self, cargo};
use crate::{layering, packages, servers, tools};

/// What to check.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scope {
    Full,
    /// Leaves out the tests that need a server.
    Quick,
}

/// Runs the steps up to the first failure, then prints how long each took and how the tests ended.
pub(crate) fn run(scope: Scope) -> Result<()> {
    tools::require(&tools::FOR_CI)?;
    let mut steps = Steps::default();
    let result = all(&mut steps, scope);
    steps.summary();
    result
}

fn all(steps: &mut Steps, scope: Scope) -> Result<()> {
    let left_out = match scope {
        Scope::Full => Vec::new(),
        Scope::Quick => servers::needed_by(&workspace::metadata()?),
    };
    steps.command("format", cargo(["fmt", "--all", "--check"]))?;
    steps.check("layering", "cargo xtask layering", layering::run)?;
    steps.command(
        "licences, sources, bans",
        cargo([
            "deny",
            "--workspace",
            "--all-features",
            "check",
            "bans",
            "licenses",
            "sources",
        ]),
    )?;
    steps.command("unused dependencies", cargo(["shear"]))?;
    steps.command("clippy", clippy())?;
    steps.command(
        "generated files",
        cargo([
            "test",
            "--workspace",
            "--all-features",
            "--bin",
            "xtask",
            "--",
            "codegen::",
        ]),
    )?;
    if scope == Scope::Full {
        steps.command("Kafka's programs", kafka())?;
    }
    steps.tests("tests", tests(&left_out))?;
    steps.tests("doc tests", doc_tests(&left_out))?;
    steps.command("docs", docs())?;
    steps.command("features one by one", features())?;
    steps.check("packages", packages::LINE, packages::run)?;
    if workspace::root().join("tests/peers/Cargo.toml").is_file() {
        steps.command("benchmark peers", peers())?;
    }
    Ok(())
}

fn clippy() -> Command {
    cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ])
}

/// Downloads Kafka, so that no test's time holds that of a network: the one test that does that alone.
fn kafka() -> Command {
    cargo([
        "test",
        "--workspace",
        "--all-features",
        "--test",
        "it",
        "--",
        "--nocapture",
        "--exact",
        "kafka::the_versions_of_the_suites_can_be_had",
    ])
}

/// The tests under nextest, or under `cargo test` where that is not installed.
fn tests(left_out: &[String]) -> Command {
    let mut command;
    if workspace::on_path(tools::NEXTEST) {
        command = cargo(["nextest", "run", "--workspace", "--all-features"]);
        if tools::in_ci() {
            command.args(["--profile", "ci"]);
        }
        if !left_out.is_empty() {
            // A filter, not `--exclude`: the same packages are compiled as in a full run.
            let packages: Vec<_> = left_out
                .iter()
                .map(|name| format!("package(={name})"))
                .collect();
            command.args(["-E", &format!("not ({})", packages.join(" or "))]);
        }
    } else {
        command = cargo([
            "test",
            "--workspace",
            "--all-features",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ]);
        exclude(&mut command, left_out);
    }
    command
}

fn doc_tests(left_out: &[String]) -> Command {
    let mut command = cargo(["test", "--doc", "--workspace", "--all-features"]);
    exclude(&mut command, left_out);
    command
}

fn exclude(command: &mut Command, packages: &[String]) {
    for package in packages {
        command.args(["--exclude", package]);
    }
}

/// The documentation as docs.rs builds it where nightly is installed, else without the feature labels.
fn docs() -> Command {
    let doc = ["doc", "--workspace", "--all-features", "--no-deps"];
    if !has_nightly() {
        let mut command = cargo(doc);
        command.env("RUSTDOCFLAGS", "-D warnings");
        return command;
    }
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo"])
        .args(doc)
        .current_dir(workspace::root());
    // Set by the cargo that runs this program; nightly's has to find its own.
    command
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTDOC");
    command.env("RUSTDOCFLAGS", "-D warnings --cfg docsrs");
    command
}

fn has_nightly() -> bool {
    let version = Command::new("rustup")
        .args(["run", "nightly", "rustdoc", "--version"])
        .output();
    version.is_ok_and(|output| output.status.success())
}

/// Each published crate with each of its features alone, with none, and with all.
///
/// Without `--no-dev-deps`, which rewrites the manifests while it runs: linting only a library leaves
/// its dev-dependencies' features out anyway. Clippy, since `cargo check` would let warnings pass.
fn features() -> Command {
    let mut command = cargo([
        "hack",
        "clippy",
        "--workspace",
        "--ignore-private",
        "--each-feature",
    ]);
    command.args(["--quiet", "--", "-D", "warnings"]);
    command
}

/// The benchmarks against other libraries are a workspace of their own; here they only have to compile.
fn peers() -> Command {
    cargo([
        "check",
        "--manifest-path",
        "tests/peers/Cargo.toml",
        "--all-targets",
        "--locked",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_leaves_out_the_crates_that_need_a_server() {
        let left_out = ["cqi-db".to_owned(), "cqi-testkit".to_owned()];
        let line = workspace::line(&doc_tests(&left_out));
        assert_eq!(
            line,
            "cargo test --doc --workspace --all-features --exclude cqi-db --exclude cqi-testkit"
        );
        let line = workspace::line(&tests(&left_out));
        assert!(
            line.contains("cqi-db") && line.contains("cqi-testkit"),
            "{line}"
        );
    }
}
