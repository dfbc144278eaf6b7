//! Reading record batches: CQI beside kafka-protocol and rskafka.
//!
//! Each reads the same reply of some 4 MiB, in turns, so that a busy machine slows all of them; what
//! counts are the ratios. kafka-protocol and rskafka link the C codecs of LZ4 and Zstandard.

mod replies;

use std::hint::black_box;
use std::time::{Duration, Instant};

use replies::{NAMES, READERS, cases};

const ROUNDS: usize = 40;

fn main() {
    let [ours, theirs, others] = NAMES;
    println!(
        "{:28}{ours:>16}{theirs:>16}{others:>16}{:>9}{:>9}",
        "million records/s", "ratio", "ratio"
    );
    for (what, reply, count) in cases() {
        let sums = READERS.map(|read| read(&reply));
        assert!(sums.iter().all(|sum| *sum == sums[0]), "all read the same");
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (read, times) in READERS.iter().zip(&mut times) {
                let started = Instant::now();
                black_box(read(&reply));
                times.push(started.elapsed());
            }
        }
        let [ours, theirs, others] =
            times.map(|times| count as f64 / median(times).as_secs_f64() / 1e6);
        let ratios = (ours / theirs, ours / others);
        println!(
            "{what:28}{ours:16.2}{theirs:16.2}{others:16.2}{:9.2}{:9.2}",
            ratios.0, ratios.1
        );
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
