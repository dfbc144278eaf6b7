//! What a member did, a line each: written at once, so that the death of the member loses nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A time that all processes of the machine agree on.
pub fn now() -> Duration {
    clock_gettime(ClockId::Monotonic)
        .try_into()
        .expect("a time since the start")
}

/// The writing side; lines go to standard output.
#[derive(Debug)]
pub struct Journal(Mutex<File>);

impl Journal {
    pub fn of_stdout() -> Self {
        let stdout = rustix::io::dup(std::io::stdout()).expect("standard output");
        Self(Mutex::new(stdout.into()))
    }

    pub fn assigned(&self, partitions: impl IntoIterator<Item = i32>) {
        self.note(&format!("assigned{}", list(partitions)));
    }

    pub fn revoked(&self, partitions: impl IntoIterator<Item = i32>) {
        self.note(&format!("revoked{}", list(partitions)));
    }

    pub fn lost(&self, partitions: impl IntoIterator<Item = i32>) {
        self.note(&format!("lost{}", list(partitions)));
    }

    pub fn handled(&self, partition: i32, offset: i64, value: &[u8]) {
        let value = std::str::from_utf8(value).expect("a number");
        self.note(&format!("handled {partition} {offset} {value}"));
    }

    pub fn failed(&self, what: &str, why: impl std::fmt::Display) {
        self.note(&format!("failed {what}: {why}"));
    }

    fn note(&self, line: &str) {
        let line = format!("{} {line}\n", now().as_micros());
        let mut file = self.0.lock().expect("no panic");
        file.write_all(line.as_bytes()).expect("written");
    }
}

fn list(partitions: impl IntoIterator<Item = i32>) -> String {
    partitions
        .into_iter()
        .map(|number| format!(" {number}"))
        .collect()
}

/// One line.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Duration,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Assigned(BTreeSet<i32>),
    Revoked(BTreeSet<i32>),
    Lost(BTreeSet<i32>),
    Handled {
        partition: i32,
        offset: i64,
        value: u64,
    },
    Failed(String),
}

/// Reads a member's lines.
pub fn read(path: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(path).expect("a journal");
    text.lines().filter_map(parse).collect()
}

/// Returns nothing for the last line of a member that was killed while it wrote it.
fn parse(line: &str) -> Option<Entry> {
    let (at, rest) = line.split_once(' ')?;
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let numbers = || {
        rest.split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()
    };
    let what = match word {
        "assigned" => What::Assigned(numbers()?),
        "revoked" => What::Revoked(numbers()?),
        "lost" => What::Lost(numbers()?),
        "handled" => {
            let mut words = rest.split(' ');
            What::Handled {
                partition: words.next()?.parse().ok()?,
                offset: words.next()?.parse().ok()?,
                value: words.next()?.parse().ok()?,
            }
        }
        "failed" => What::Failed(rest.to_owned()),
        _ => return None,
    };
    let at = Duration::from_micros(at.parse().ok()?);
    Some(Entry { at, what })
}
