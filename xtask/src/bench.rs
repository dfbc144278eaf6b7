//! Side by side with other libraries.

use anyhow::Result;

use crate::workspace::{self, cargo};

/// Runs the benchmarks of `tests/peers` whose names start so, or all; each prints its table of ratios.
pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let mut command = cargo(["bench", "--manifest-path", "tests/peers/Cargo.toml"]);
    match name {
        Some(name) => command.args(["--bench", &format!("{name}*")]),
        None => command.arg("--benches"),
    };
    workspace::run(&mut command)
}
