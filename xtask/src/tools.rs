//! The programs that tasks call besides cargo, rustfmt and clippy.

use std::env;

use anyhow::{Result, bail};

use crate::workspace;

/// What `.ci/run` installs, and `cargo xtask ci` needs.
pub(crate) const FOR_CI: [&str; 3] = ["cargo-deny", "cargo-hack", "cargo-shear"];

/// The test runner that is used where it is installed.
pub(crate) const NEXTEST: &str = "cargo-nextest";

/// Fails with the line that installs what is missing.
///
/// # Errors
/// When a program is not on PATH.
pub(crate) fn require(programs: &[&str]) -> Result<()> {
    let missing: Vec<_> = programs
        .iter()
        .copied()
        .filter(|program| !workspace::on_path(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let wheels: Vec<_> = missing
        .iter()
        .map(|program| format!("astral-dev-toolchain-{program}"))
        .collect();
    bail!(
        "{} not found; install what is missing (prebuilt, seconds) with\n    pip install {}\n\
         or (compiled, minutes) with\n    cargo install --locked {}\n\
         or let `bash .ci/run` install everything and run every check",
        missing.join(", "),
        wheels.join(" "),
        missing.join(" "),
    );
}

/// Whether a machine asks, not a person.
pub(crate) fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_comes_with_the_line_that_installs_it() {
        let error = require(&["cargo", "cargo-no-such-thing"])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cargo-no-such-thing not found"),
            "{error}"
        );
        assert!(
            error.contains("pip install astral-dev-toolchain-cargo-no-such-thing\n"),
            "{error}"
        );
        assert!(
            error.contains("cargo install --locked cargo-no-such-thing\n"),
            "{error}"
        );
    }

    #[test]
    fn the_ci_script_installs_every_tool() {
        let script = std::fs::read_to_string(workspace::root().join(".ci/run")).unwrap();
        for tool in FOR_CI.iter().chain([&NEXTEST]) {
            assert!(script.contains(tool), "{tool} is not in .ci/run");
        }
    }
}
