//! Requests without a socket: what the layers themselves cost.

use crate::child::Chain;
use crate::stacks::{Mode, PARTS, WHOLE};

const ROUNDS: usize = 60;
const REQUESTS: u32 = 400;

/// Prints what each chain, and each part of it, adds to a request.
pub fn compare() {
    for (title, mode) in [
        ("not sampled, no access line", Mode::Quiet),
        ("not sampled, access line", Mode::Line),
        ("sampled, access line", Mode::Sampled),
    ] {
        table(title, &WHOLE, mode);
    }
    table("parts: not sampled, no access line", &PARTS, Mode::Quiet);
}

fn table(title: &str, names: &[&str], mode: Mode) {
    let mut chains: Vec<_> = names.iter().map(|name| Chain::start(name, mode)).collect();
    let one = rounds(&mut chains, 1);
    let two = rounds(&mut chains, 2);
    println!(
        "\n{title:<40} {:>9} {:>9} {:>9} {:>11}",
        "added ns", "median", "ratio", "2 threads"
    );
    let added = |chain: usize| best(&one[chain]) - best(&one[0]);
    let peers = |chain: &usize| names[*chain].starts_with("peers");
    let whole = names.iter().position(|&name| name == "cqi");
    let peers = whole.and_then(|_| (0..names.len()).filter(peers).map(added).reduce(f64::min));
    for (chain, name) in names.iter().enumerate() {
        let (mut best_one, mut middle, mut best_two) =
            (best(&one[chain]), median(&one[chain]), best(&two[chain]));
        let mut ratio = String::new();
        if chain > 0 {
            best_one -= best(&one[0]);
            middle -= median(&one[0]);
            best_two -= best(&two[0]);
            ratio = peers.map_or(ratio, |peers| format!("{:.2}", best_one / peers));
        }
        println!("{name:<40} {best_one:>9.0} {middle:>9.0} {ratio:>9} {best_two:>11.0}");
    }
}

/// Returns the nanoseconds per request of each chain's rounds.
fn rounds(chains: &mut [Chain], threads: u32) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::with_capacity(ROUNDS); chains.len()];
    for chain in &mut *chains {
        chain.requests(REQUESTS * 5, threads);
    }
    for _ in 0..ROUNDS {
        for (chain, times) in chains.iter_mut().zip(&mut times) {
            times.push(chain.requests(REQUESTS, threads));
        }
    }
    for times in &mut times {
        times.sort_unstable_by(f64::total_cmp);
    }
    times
}

fn best(sorted: &[f64]) -> f64 {
    sorted[0]
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
