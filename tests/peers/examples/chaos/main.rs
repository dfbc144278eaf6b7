//! What happens to groups and producers while members and brokers die, freeze and come back:
//! `cargo xtask chaos`, with the names of parts to run some only, the kinds of members
//! (`cqi`, `librdkafka`, `java`) and `--minutes 5 --version 3.9.2 --seed 1`.

mod brokers;
mod groups;
mod journal;
mod load;
mod members;
mod ownership;
mod report;

use std::process::ExitCode;
use std::time::Duration;

/// Groups by their assignors, and what happens to brokers.
const PARTS: [&str; 4] = ["range", "cooperative-sticky", "brokers", "coordinator"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [members::MEMBER, ..] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        members::run(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let minutes: f64 = option("--minutes").map_or(5.0, |text| text.parse().expect("minutes"));
    let version = option("--version").unwrap_or_else(|| "3.9.2".to_owned());
    let seed = option("--seed").map_or_else(
        || fastrand::u64(..1000),
        |text| text.parse().expect("a number"),
    );
    let kinds: Vec<_> = arguments
        .iter()
        .filter_map(|word| members::Kind::named(word))
        .collect();
    let kinds = if kinds.is_empty() {
        members::Kind::ALL.to_vec()
    } else {
        kinds
    };
    let parts: Vec<_> = PARTS
        .into_iter()
        .filter(|part| arguments.iter().any(|word| word == part))
        .collect();
    let parts = if parts.is_empty() {
        PARTS.to_vec()
    } else {
        parts
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let time = Duration::from_secs_f64(minutes * 60.0);
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
