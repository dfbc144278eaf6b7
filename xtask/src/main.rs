//! The tasks of the workspace; `cargo xtask` lists them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command speaks to a person"
)]

mod bench;
mod chaos;
mod ci;
#[cfg(feature = "codegen")]
mod codegen;
mod coverage;
#[cfg(feature = "servers")]
mod demo;
#[cfg(feature = "servers")]
mod keeper;
mod layering;
mod packages;
mod servers;
mod steps;
mod tools;
#[cfg(feature = "servers")]
mod wait;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
usage: cargo xtask <task>

  ci                   every check: format, lints, layering, tests on real servers, docs, features, packages
  ci --quick           the same without the tests that need a server
  demo                 the example service on a private PostgreSQL, driven by a client
  up | down | env      PostgreSQL, Redis and Kafka for people: start, stop, print the settings for `eval`
  bench [name]         side by side with other libraries, a table of ratios
  chaos [options]      Kafka's groups and producers while members and brokers die; --minutes 5 for each part
  coverage [--min 90]  line coverage of each crate by its own tests
  codegen [--check]    write the generated files, or fail where they are not up to date
  layering             the dependency arrows and manifests against crates/README.md
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
        ["bench"] => bench::run(None),
        ["bench", name] => bench::run(Some(name)),
        ["chaos", options @ ..] => chaos::run(options),
        ["coverage"] => coverage::run(90.0),
        ["coverage", "--min", min] => coverage::run(
            min.parse()
                .with_context(|| format!("`{min}` is no percentage"))?,
        ),
        #[cfg(feature = "servers")]
        ["demo"] => demo::run(),
        #[cfg(feature = "servers")]
        ["up"] => keeper::up(),
        #[cfg(feature = "servers")]
        ["down"] => keeper::down(),
        #[cfg(feature = "servers")]
        ["env"] => keeper::env(),
        #[cfg(feature = "servers")]
        [keeper::TASK] => keeper::keep(),
        #[cfg(feature = "codegen")]
        ["codegen"] => codegen::run(codegen::Mode::Write),
        #[cfg(feature = "codegen")]
        ["codegen", "--check"] => codegen::run(codegen::Mode::Check),
        #[cfg(not(feature = "codegen"))]
        ["codegen", ..] => workspace::again_with("codegen", args),
        #[cfg(not(feature = "servers"))]
        ["demo" | "up" | "down" | "env"] => workspace::again_with("servers", args),
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
