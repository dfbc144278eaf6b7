//! The tasks of the workspace; `cargo xtask` lists them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command speaks to a person"
)]

mod ci;
mod coverage;
mod layering;
mod servers;
mod steps;
mod tools;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
usage: cargo xtask <task>

  ci                   every check: format, lints, layering, tests on real servers, docs, features, packages
  ci --quick           the same without the tests that need a server
  layering             the dependency arrows and manifests against crates/README.md
  coverage [--min 90]  line coverage of each crate by its own tests
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        ["ci"] => ci::run(ci::Scope::Full),
        ["ci", "--quick"] => ci::run(ci::Scope::Quick),
        ["layering"] => layering::run(),
        ["coverage"] => coverage::run(90.0),
        ["coverage", "--min", min] => coverage::run(
            min.parse()
                .with_context(|| format!("`{min}` is no percentage"))?,
        ),
        _ => bail!("no such task: {}\n\n{HELP}", args.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_task_lists_the_known_ones() {
        let error = run(&["cy"]).unwrap_err().to_string();
        assert!(
            error.starts_with("no such task: cy\n\nusage: cargo xtask"),
            "{error}"
        );
        assert_eq!(
            run(&["coverage", "--min", "most"]).unwrap_err().to_string(),
            "`most` is no percentage"
        );
    }
}
