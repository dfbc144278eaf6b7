//! Where lines go, and what happens when they cannot.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use cqi_config::{LogConfig, LogOutput};
use cqi_errors::Kind;
use cqi_log::LogGuard;
use serde_json::Value;
use tracing::{Dispatch, dispatcher, info, info_span};

use crate::logs::{config, service};

fn to_file(path: &Path) -> (Dispatch, LogGuard) {
    let config = LogConfig {
        output: LogOutput::File,
        file: Some(path.to_owned()),
        ..config("info")
    };
    cqi_log::builder().build(&config, &service()).unwrap()
}

fn to_writer(writer: impl Write + Send + 'static) -> (Dispatch, LogGuard) {
    cqi_log::builder()
        .writer(writer)
        .build(&config("info"), &service())
        .unwrap()
}

fn messages(text: &str) -> Vec<String> {
    let message = |line: &str| {
        let line: Value = serde_json::from_str(line).expect(line);
        line["message"].as_str().unwrap().to_owned()
    };
    text.lines().map(message).collect()
}

#[test]
fn a_file_is_appended_to_and_reopened_after_a_rename() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    fs::write(&path, "{\"message\":\"older\"}\n").unwrap();
    let (dispatch, guard) = to_file(&path);
    dispatcher::with_default(&dispatch, || {
        info!("one");
        fs::rename(&path, &moved).unwrap();
        info!("two");
        guard.reopen().unwrap();
        info!("three");
    });
    guard.flush().unwrap();
    assert_eq!(
        messages(&fs::read_to_string(&moved).unwrap()),
        ["older", "one", "two"]
    );
    assert_eq!(messages(&fs::read_to_string(&path).unwrap()), ["three"]);
    let stats = guard.stats();
    assert_eq!((stats.lines_written, stats.lines_lost), (3, 0));
    let total = fs::metadata(&moved).unwrap().len() + fs::metadata(&path).unwrap().len();
    assert_eq!(
        stats.bytes_written,
        total - "{\"message\":\"older\"}\n".len() as u64
    );
}

#[test]
fn a_file_that_cannot_be_reopened_keeps_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("log");
    let (dispatch, guard) = to_file(&path);
    let moved = folder.path().join("moved");
    fs::rename(&inner, &moved).unwrap();
    let error = guard.reopen().unwrap_err();
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    dispatcher::with_default(&dispatch, || info!("still here"));
    let text = fs::read_to_string(moved.join("log")).unwrap();
    assert_eq!(messages(&text), ["still here"]);
}

#[test]
fn a_file_must_be_named_and_its_folder_exist() {
    let mut config = LogConfig {
        output: LogOutput::File,
        ..config("info")
    };
    let error = cqi_log::builder().build(&config, &service()).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.field(), Some("log.file"));
    config.file = Some("/nowhere/at/all/log".into());
    let error = cqi_log::builder().build(&config, &service()).unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    let chain = format!("{error:#}");
    assert!(
        chain.contains("/nowhere/at/all/log") && chain.contains("No such file"),
        "{chain}"
    );
}

#[test]
fn a_full_disk_is_counted() {
    let (dispatch, guard) = to_file(Path::new("/dev/full"));
    dispatcher::with_default(&dispatch, || (0..3).for_each(|_| info!("lost")));
    let stats = guard.stats();
    assert_eq!(
        (stats.lines_written, stats.bytes_written, stats.lines_lost),
        (0, 0, 3)
    );
    guard.flush().unwrap();
}

/// A writer that does as its script says, then takes everything.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<Vec<io::Result<usize>>>>,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = io::Result<usize>>) -> Self {
        let mut script: Vec<_> = script.into_iter().collect();
        script.reverse();
        Self {
            script: Arc::new(Mutex::new(script)),
            ..Self::default()
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.taken.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Scripted {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let step = self.script.lock().unwrap().pop();
        let count = step.unwrap_or(Ok(line.len()))?.min(line.len());
        self.taken.lock().unwrap().extend_from_slice(&line[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.taken.lock().unwrap().extend_from_slice(b"flushed");
        Ok(())
    }
}

#[test]
fn short_and_interrupted_writes_make_a_whole_line() {
    let writer = Scripted::new([Ok(5), Err(ErrorKind::Interrupted.into()), Ok(1), Ok(30)]);
    let (dispatch, guard) = to_writer(writer.clone());
    dispatcher::with_default(&dispatch, || info!("whole"));
    assert_eq!(messages(&writer.text()), ["whole"]);
    assert_eq!(guard.stats().lines_lost, 0);
}

#[test]
fn a_torn_line_does_not_spoil_the_next() {
    let broken = || Err(ErrorKind::BrokenPipe.into());
    let writer = Scripted::new([Ok(7), broken(), broken(), Ok(0)]);
    let (dispatch, guard) = to_writer(writer.clone());
    dispatcher::with_default(&dispatch, || {
        info!("torn");
        info!("lost");
        info!("refused");
        info!("whole");
        info!("next");
    });
    let text = writer.text();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"times");
    assert_eq!(messages(rest), ["whole", "log lines were lost", "next"]);
    assert_eq!(
        (guard.stats().lines_written, guard.stats().lines_lost),
        (3, 3)
    );
}

fn notices(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).expect(line)["lines_lost"].as_u64())
        .collect()
}

#[test]
fn lines_lost_are_told_once_there_is_room() {
    let writer = Scripted::new((0..3).map(|_| Err(ErrorKind::StorageFull.into())));
    let (dispatch, guard) = to_writer(writer.clone());
    dispatcher::with_default(&dispatch, || {
        let _span = info_span!("request", user = "ada").entered();
        (0..5).for_each(|number| info!(number, "x"));
    });
    let text = writer.text();
    assert_eq!(messages(&text), ["x", "log lines were lost", "x"]);
    let notice: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(notice["level"], "warn");
    assert_eq!(notice["service_name"], "asset-registry");
    assert_eq!(notice["target"], "cqi_log");
    assert_eq!(notice["lines_lost"], 3);
    assert!(notice["user"].is_null() && notice["number"].is_null());
    let stats = guard.stats();
    assert_eq!((stats.lines_written, stats.lines_lost), (3, 3));
    assert_eq!(stats.bytes_written, text.len() as u64);
}

#[test]
fn a_notice_that_is_refused_is_tried_again_and_not_counted() {
    let full = || Err(ErrorKind::StorageFull.into());
    let writer = Scripted::new([full(), Ok(usize::MAX), full(), Ok(usize::MAX)]);
    let (dispatch, guard) = to_writer(writer.clone());
    dispatcher::with_default(&dispatch, || (0..3).for_each(|_| info!("x")));
    assert_eq!(guard.stats().lines_lost, 1);
    assert_eq!(notices(&writer.text()), [1]);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the logger has the system's clock"
)]
fn an_output_that_fails_on_and_off_is_not_flooded_with_notices() {
    let step = |number| match number % 3 {
        0 => Err(ErrorKind::StorageFull.into()),
        _ => Ok(usize::MAX),
    };
    let writer = Scripted::new((0..400).map(step));
    let (dispatch, guard) = to_writer(writer.clone());
    let before = std::time::Instant::now();
    dispatcher::with_default(&dispatch, || (0..400).for_each(|_| info!("x")));
    let seconds = before.elapsed().as_secs();
    let told = notices(&writer.text());
    assert!(
        !told.is_empty() && told.len() as u64 <= 1 + seconds,
        "{told:?}"
    );
    assert!(told.iter().sum::<u64>() <= guard.stats().lines_lost);
}

#[test]
fn the_guard_flushes_a_writer_that_buffers() {
    let writer = Scripted::default();
    let (dispatch, guard) = to_writer(writer.clone());
    dispatcher::with_default(&dispatch, || info!("x"));
    assert!(!writer.text().contains("flushed"));
    drop(guard);
    assert!(writer.text().ends_with("flushed"));
}

struct Panicking;

impl Write for Panicking {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("in write");
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_panics_does_not_poison_the_logger() {
    let (dispatch, guard) = to_writer(Panicking);
    dispatcher::with_default(&dispatch, || {
        for _ in 0..2 {
            let panic = std::panic::catch_unwind(|| info!("x")).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"in write"));
        }
    });
    assert_eq!(guard.stats().lines_lost, 2);
    guard.flush().unwrap();
}

#[test]
fn threads_never_tear_a_line() {
    const THREADS: usize = 8;
    const LINES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    // Two loggers with descriptors of their own, as two processes have.
    let loggers = [to_file(&path), to_file(&path)];
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (dispatch, _) = &loggers[thread % loggers.len()];
            threads.spawn(move || {
                dispatcher::with_default(dispatch, || {
                    let _span =
                        info_span!("worker", thread, filler = "x".repeat(thread * 900)).entered();
                    for number in 0..LINES {
                        info!(number, "{thread}/{number}");
                    }
                });
            });
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    let mut next = [0; THREADS];
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect(line);
        let thread = line["thread"].as_u64().unwrap() as usize;
        assert_eq!(line["number"], next[thread]);
        assert_eq!(line["message"], format!("{thread}/{}", next[thread]));
        assert_eq!(line["filler"].as_str().unwrap().len(), thread * 900);
        next[thread] += 1;
    }
    assert_eq!(next, [LINES; THREADS]);
    let written: u64 = loggers
        .iter()
        .map(|(_, guard)| guard.stats().lines_written)
        .sum();
    assert_eq!(written as usize, THREADS * LINES);
}
