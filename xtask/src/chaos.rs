//! Kafka's groups and producers while members and brokers die.

use anyhow::Result;

use crate::workspace::{self, cargo};

/// Runs the chaos of `tests/peers`, some minutes for each part.
pub(crate) fn run(options: &[&str]) -> Result<()> {
    let mut command = cargo(["run", "--manifest-path", "tests/peers/Cargo.toml"]);
    command.args(["--profile", "bench", "--example", "chaos", "--"]);
    workspace::run(command.args(options))
}
