//! What a chain of layers adds to a request: CQI beside tower-http, axum-prometheus and
//! axum-tracing-opentelemetry, all set up as their documentation says.
//!
//! Each chain runs in a process of its own. They take turns in short rounds of equal work, so that a
//! busy machine slows all of them alike; what counts are the ratios of their best rounds.

mod child;
mod in_process;
mod loopback;
mod service;
mod stacks;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [child::CHILD, chain, mode] = *arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        return child::run(chain, mode.parse().expect("the parent knows the modes"));
    }
    let wants = |part: &str| {
        let named = || {
            arguments
                .iter()
                .filter(|argument| !argument.starts_with('-'))
        };
        named().next().is_none() || named().any(|argument| argument == part)
    };
    if wants("in-process") {
        in_process::compare();
    }
    if wants("loopback") {
        loopback::compare();
    }
}
