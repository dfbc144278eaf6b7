//! Heap allocations that a chain of layers adds to a request, after warm-up; a program of its own,
//! since the allocator that counts takes time.

mod service;
mod stacks;

use std::process::Command;

use allocation_counter::measure;
use tokio::runtime;

use service::Client;
use stacks::{App, Mode, PARTS, WHOLE};

const CHILD: &str = "--chain";
const REQUESTS: u64 = 1_000;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [CHILD, chain, mode] = *arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        return print!(
            "{}",
            count(chain, mode.parse().expect("the parent knows the modes"))
        );
    }
    println!(
        "\n{:<40} {:>9} {:>9} {:>9}",
        "allocations added to a request",
        Mode::Quiet,
        Mode::Line,
        Mode::Sampled
    );
    let mut bare = 0.0;
    for chain in WHOLE.iter().chain(&PARTS[1..]) {
        let counts = [Mode::Quiet, Mode::Line, Mode::Sampled].map(|mode| ask(chain, mode) - bare);
        let [quiet, line, sampled] = counts;
        println!("{chain:<40} {quiet:>9.1} {line:>9.1} {sampled:>9.1}");
        if *chain == WHOLE[0] {
            bare = quiet;
        }
    }
}

/// Counts in a process of its own, since a process has one subscriber.
fn ask(chain: &str, mode: Mode) -> f64 {
    let child = Command::new(std::env::current_exe().expect("a path"))
        .args([CHILD, chain, &mode.to_string()])
        .output()
        .expect("the benchmark runs itself");
    let answer = String::from_utf8(child.stdout).expect("text");
    answer.parse().expect("the child counts")
}

fn count(chain: &str, mode: Mode) -> f64 {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _runtime = runtime.enter();
    let app = App::new(chain, mode);
    let client = Client::new();
    let send = |requests| {
        runtime.block_on(async {
            for _ in 0..requests {
                client.send(&app.router).await;
            }
        });
    };
    send(REQUESTS);
    let counted = measure(|| send(REQUESTS));
    counted.count_total as f64 / REQUESTS as f64
}
