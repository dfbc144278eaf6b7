//! Time, processor time, and what is made of many rounds.

use std::time::{Duration, Instant};

/// What one round of one client shows.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Records per second.
    pub rate: f64,
    /// Processor time per record in microseconds, of all threads, in user and system mode.
    pub cpu: f64,
}

impl Round {
    pub fn of(records: usize, time: Duration, cpu: Duration) -> Self {
        Self {
            rate: records as f64 / time.as_secs_f64(),
            cpu: micros(cpu) / records as f64,
        }
    }
}

/// Starts with the first record, so that joining a group does not count.
#[derive(Debug)]
pub struct Meter {
    wanted: usize,
    seen: usize,
    started: Option<(Instant, Duration)>,
    sum: usize,
}

impl Meter {
    pub fn new(wanted: usize) -> Self {
        Self {
            wanted,
            seen: 0,
            started: None,
            sum: 0,
        }
    }

    pub fn start(&mut self) {
        self.started
            .get_or_insert_with(|| (Instant::now(), cpu_time()));
    }

    /// Counts a record and touches its key and value.
    #[inline]
    pub fn see(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        if self.seen == 0 {
            self.start();
        }
        self.seen += 1;
        self.sum += touch(key) + touch(value);
    }

    pub fn is_done(&self) -> bool {
        self.seen >= self.wanted
    }

    /// Fails where the records were not those of [`preload`](crate::broker::preload).
    pub fn finish(self) -> Round {
        let (started, cpu) = self.started.expect("a record");
        let (time, cpu) = (started.elapsed(), cpu_time() - cpu);
        assert_eq!(self.seen, self.wanted, "each record comes once");
        std::hint::black_box(self.sum);
        Round::of(self.seen, time, cpu)
    }
}

#[inline]
pub fn touch(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, |bytes| match *bytes {
        [first, .., last] => bytes.len() + usize::from(first) + usize::from(last),
        _ => bytes.len(),
    })
}

/// Returns the processor time of this process, which a busy machine does not change.
pub fn cpu_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.try_into().expect("a time since the start")
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns the value that so many percent of the values do not exceed.
pub fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values, 50)
}

/// Has clients take turns, another one first each time; the first round warms up and does not count.
pub async fn interleave<R>(
    clients: usize,
    rounds: usize,
    mut round: impl AsyncFnMut(usize) -> R,
) -> Vec<Vec<R>> {
    let mut results: Vec<Vec<R>> = (0..clients).map(|_| Vec::new()).collect();
    for number in 0..=rounds {
        for turn in 0..clients {
            let client = (turn + number) % clients;
            let result = round(client).await;
            if number > 0 {
                results[client].push(result);
            }
        }
    }
    results
}

/// Prints records per second, as ratios taken within each round, and processor time.
pub fn print(title: &str, names: &[&str], rounds: &[Vec<Round>], peers: &[usize]) {
    let count = rounds[0].len();
    println!("\n{title}; medians of {count} rounds\n");
    print!("| client | records/s | range |");
    peers.iter().for_each(|&n| print!(" of {} |", names[n]));
    println!(" CPU/record |");
    println!("|---|---:|---:|{}---:|", "---:|".repeat(peers.len()));
    for (name, own) in names.iter().zip(rounds) {
        let rates = || own.iter().map(|round| round.rate / 1e3);
        let (low, high) = (percentile(rates(), 0), percentile(rates(), 100));
        print!(
            "| {name} | {:.0} k | {low:.0}-{high:.0} k |",
            median(rates())
        );
        for &peer in peers {
            let pairs = own.iter().zip(&rounds[peer]);
            print!(" {:.2}x |", median(pairs.map(|(a, b)| a.rate / b.rate)));
        }
        println!(" {:.2} us |", median(own.iter().map(|round| round.cpu)));
    }
}
