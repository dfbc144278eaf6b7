//! `/proc`, under the names that Prometheus' client libraries share.

use std::fs;

use cqi_errors::Result;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::{Metrics, Unit};

#[track_caller]
pub(super) fn register(metrics: &Metrics) -> Result<()> {
    metrics
        .standard_counter("process_cpu")
        .help("CPU time that the process has used, in user and system mode.")
        .unit(Unit::Seconds)
        .observe(cpu_seconds)?;
    metrics
        .standard_gauge("process_resident_memory")
        .help("Memory of the process that is in RAM.")
        .unit(Unit::Bytes)
        .observe(|| pages(1))?;
    metrics
        .standard_gauge("process_virtual_memory")
        .help("Address space of the process.")
        .unit(Unit::Bytes)
        .observe(|| pages(0))?;
    metrics
        .standard_gauge("process_threads")
        .help("Threads of the process.")
        .observe(|| stat(20))?;
    metrics
        .standard_gauge("process_open_fds")
        .help("File descriptors that are open.")
        .observe(open_fds)?;
    metrics
        .standard_gauge("process_max_fds")
        .help("File descriptors that may be open.")
        .observe(max_fds)?;
    let started = start_time();
    metrics
        .standard_gauge("process_start_time")
        .help("When the process started, since 1970 began.")
        .unit(Unit::Seconds)
        .observe(move || started)
}

/// In nanoseconds' precision, where `/proc` has hundredths of a second.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Reads a column of `/proc/self/statm`, in bytes.
fn pages(column: usize) -> f64 {
    let pages = read("/proc/self/statm")
        .split(' ')
        .nth(column)
        .and_then(number);
    pages.unwrap_or(f64::NAN) * page_size() as f64
}

/// Reads a field of `/proc/self/stat` by its number in proc_pid_stat(5), from 3 on.
fn stat(field: usize) -> f64 {
    // The second is the program's name in parentheses, and may hold anything.
    let text = read("/proc/self/stat");
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields
        .split(' ')
        .nth(field - 3)
        .and_then(number)
        .unwrap_or(f64::NAN)
}

fn open_fds() -> f64 {
    match fs::read_dir("/proc/self/fd") {
        // One of them is that of the folder itself.
        Ok(entries) => entries.count() as f64 - 1.0,
        Err(_) => f64::NAN,
    }
}

fn max_fds() -> f64 {
    getrlimit(Resource::Nofile)
        .current
        .map_or(f64::INFINITY, |limit| limit as f64)
}

fn start_time() -> f64 {
    let text = read("/proc/stat");
    let booted = text
        .lines()
        .find_map(|line| number(line.strip_prefix("btime ")?));
    booted.unwrap_or(f64::NAN) + stat(22) / clock_ticks_per_second() as f64
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::hint::black_box;
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn cpu_time_and_memory_rise_with_use() {
        let (cpu, memory) = (cpu_seconds(), pages(1));
        let block = black_box(vec![1_u8; 32 << 20]);
        while cpu_seconds() < cpu + 0.02 {
            black_box(block.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        }
        let more = pages(1) - memory;
        assert!((30e6..200e6).contains(&more), "{memory} + {more}");
        assert!(pages(0) > pages(1));
    }

    #[test]
    fn descriptors_and_threads_are_counted() {
        let before = open_fds();
        // Other tests of this process open and close files too.
        let files: Vec<_> = (0..100)
            .map(|_| File::open("/proc/self/stat").unwrap())
            .collect();
        let opened = open_fds() - before;
        assert!((80.0..120.0).contains(&opened), "{opened}");
        drop(files);
        assert!(max_fds() > open_fds());
        let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
        let before = stat(20);
        let thread = std::thread::spawn(move || stopped.recv());
        assert!(before >= 1.0 && stat(20) >= 2.0, "{before}");
        drop(stop);
        thread.join().unwrap().unwrap_err();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a start is a date")]
    fn the_start_is_a_moment_ago() {
        let now = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap();
        let age = now.as_secs_f64() - start_time();
        // The system says when it booted in whole seconds.
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
