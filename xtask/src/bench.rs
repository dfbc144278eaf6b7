//! Side by side with other libraries.

use anyhow::Result;

use crate::workspace::{self, cargo};

/// Runs one benchmark of `tests/peers`, or all; each prints its table of ratios.
pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let mut command = cargo(["bench", "--manifest-path", "tests/peers/Cargo.toml"]);
    match name {
        Some(name) => command.args(["--bench", name]),
        None => command.arg("--benches"),
    };
    workspace::run(&mut command)
}
