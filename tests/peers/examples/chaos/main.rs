//! What happens to groups and producers while members and brokers die, freeze and come back:
//! `cargo xtask chaos`.

mod brokers;
mod groups;
mod journal;
mod load;
mod members;
mod options;
mod ownership;
mod report;

use std::process::ExitCode;

use options::{Options, USAGE};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [members::MEMBER, ..] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        members::run(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    let Some(options) = Options::parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let Options {
        parts,
        kinds,
        time,
        version,
        seed,
    } = options;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut well = true;
    for part in parts {
        let report = match part {
            "brokers" => runtime.block_on(brokers::run(&version)),
            "coordinator" => runtime.block_on(brokers::without_coordinator(&version)),
            assignor => runtime.block_on(groups::run(&version, assignor, &kinds, time, seed)),
        };
        well &= report.print();
    }
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
