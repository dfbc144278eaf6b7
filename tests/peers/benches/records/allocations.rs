//! Allocations of reading record batches, in a program of its own: counting them costs time.

mod replies;

use std::hint::black_box;

use allocation_counter::measure;
use replies::{NAMES, READERS, cases};

fn main() {
    let [ours, theirs, others] = NAMES;
    println!(
        "{:28}{ours:>16}{theirs:>16}{others:>16}",
        "allocations per record"
    );
    for (what, reply, count) in cases() {
        let [ours, theirs, others] = READERS.map(|read| {
            let used = measure(|| {
                black_box(read(&reply));
            });
            used.count_total as f64 / count as f64
        });
        println!("{what:28}{ours:16.4}{theirs:16.4}{others:16.4}");
    }
}
