//! What only a process of its own shows: the global subscriber, and its standard streams.
//!
//! Each test runs itself again in a child process, which does what the test is about.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::process::{Child, Command, Stdio};

use cqi_config::{LogConfig, LogOutput};
use cqi_errors::Kind;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::pipe;
use serde_json::Value;
use tracing::{debug, info};

use crate::logs::{config, service};

const CHILD: &str = "CQI_LOG_TEST_CHILD";

fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

fn child(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", &format!("process::{test}"), "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits in the child until the parent closes its standard input.
fn until_told() {
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn tell(child: &mut Child) {
    drop(child.stdin.take());
}

fn to_stderr() -> LogConfig {
    LogConfig {
        output: LogOutput::Stderr,
        ..config("info")
    }
}

fn parse(text: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(text).unwrap();
    let parse = |line: &str| serde_json::from_str(line).expect(line);
    text.lines().map(parse).collect()
}

struct Chatty;

impl fmt::Debug for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!(inner = ?Some(1), "from Debug");
        f.write_str("chatty")
    }
}

/// Logs when its thread ends, after the thread's buffers may be gone.
struct AtExit;

impl Drop for AtExit {
    fn drop(&mut self) {
        info!("thread ends");
    }
}

thread_local! {
    static AT_EXIT: AtExit = const { AtExit };
}

#[test]
fn a_debug_that_logs_has_a_line_of_its_own() {
    if !is_child() {
        let output = child("a_debug_that_logs_has_a_line_of_its_own")
            .output()
            .unwrap();
        let lines = parse(&output.stderr);
        assert!(output.status.success(), "{lines:?}");
        let seen: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line["message"].as_str().unwrap(),
                    &line["span"],
                    &line["value"],
                )
            })
            .collect();
        let (chatty, null) = (Value::from("chatty"), Value::Null);
        assert_eq!(
            seen,
            [
                ("from Debug", &null, &null),
                ("from Debug", &chatty, &null),
                ("outer", &chatty, &chatty),
                ("from Debug", &chatty, &null),
                ("recorded", &chatty, &null),
                ("thread ends", &null, &null),
            ]
        );
        return;
    }
    let guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    {
        let span = tracing::info_span!("request", span = ?Chatty, late = tracing::field::Empty);
        let _entered = span.enter();
        info!(value = ?Chatty, "outer");
        span.record("late", tracing::field::debug(Chatty));
        info!("recorded");
    }
    std::thread::spawn(|| AT_EXIT.with(|_| ())).join().unwrap();
    assert_eq!(guard.stats().lines_written, 6);
}

#[test]
fn a_process_has_one_logger() {
    if !is_child() {
        let output = child("a_process_has_one_logger").output().unwrap();
        assert!(output.status.success());
        assert_eq!(parse(&output.stderr).len(), 1);
        return;
    }
    let _guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    let error = cqi_log::init(&to_stderr(), &service()).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    info!("the first is still there");
}

/// A writer that logs about its work.
struct Noisy(File);

impl Write for Noisy {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        info!("about to write");
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        info!("about to flush");
        Ok(())
    }
}

#[test]
fn a_writer_that_logs_does_not_wait_for_itself() {
    if !is_child() {
        let output = child("a_writer_that_logs_does_not_wait_for_itself")
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(parse(&output.stderr).len(), 2);
        return;
    }
    let stderr = File::options().write(true).open("/proc/self/fd/2").unwrap();
    let builder = cqi_log::builder().writer(Noisy(stderr));
    let guard = builder.init(&config("info"), &service()).unwrap();
    info!("one");
    info!("two");
    guard.flush().unwrap();
    let stats = guard.stats();
    assert_eq!((stats.lines_written, stats.lines_lost), (2, 3));
}

#[cfg(feature = "log")]
#[test]
fn records_of_the_log_crate_appear() {
    if !is_child() {
        let output = child("records_of_the_log_crate_appear").output().unwrap();
        let lines = parse(&output.stderr);
        assert!(output.status.success(), "{lines:?}");
        let seen: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line["message"].as_str().unwrap(),
                    line["target"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("shown", "tokio_postgres::connection"),
                ("now shown", "tokio_postgres::connection"),
                ("an event", "log"),
                ("again 1", "tokio_postgres::connection"),
            ]
        );
        assert_eq!(lines[0]["user"], "ada");
        assert!(
            lines[0]
                .as_object()
                .unwrap()
                .keys()
                .all(|key| !key.starts_with("log."))
        );
        assert_eq!(lines[2]["log.file"], "kept");
        return;
    }
    let target = "tokio_postgres::connection";
    let guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    tracing::info_span!("request", user = "ada").in_scope(|| {
        log::info!(target: target, "shown");
        log::debug!(target: target, "hidden");
    });
    assert_eq!(log::max_level(), log::LevelFilter::Info);
    guard
        .set_level("warn,tokio_postgres=debug,log=info")
        .unwrap();
    assert_eq!(log::max_level(), log::LevelFilter::Debug);
    log::debug!(target: target, "now shown");
    log::info!(target: "elsewhere", "hidden");
    guard.set_level("trace").unwrap();
    log::debug!(target: target, "with parameters: hidden");
    guard
        .set_level("warn,tokio_postgres=debug,log=info")
        .unwrap();
    info!(target: "log", kept = true, "log.file" = "kept", "an event");
    let before = guard.stats().lines_written;
    let allocated = allocation_counter::measure(|| log::warn!(target: target, "again {}", 1));
    assert_eq!(
        (guard.stats().lines_written, allocated.count_total),
        (before + 1, 0)
    );
    std::process::exit(0);
}

#[cfg(feature = "log")]
#[test]
fn asking_whether_a_record_would_appear_loses_no_line() {
    if !is_child() {
        let output = child("asking_whether_a_record_would_appear_loses_no_line")
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(parse(&output.stderr).len(), 3);
        return;
    }
    let config = LogConfig {
        level: "info,other=debug".to_owned(),
        ..to_stderr()
    };
    let other = tracing_subscriber::layer::Identity::new();
    let _guard = cqi_log::builder()
        .with(other)
        .init(&config, &service())
        .unwrap();
    for _ in 0..3 {
        assert!(log::log_enabled!(target: "other", log::Level::Debug));
        let _ = log::log_enabled!(target: "elsewhere", log::Level::Debug);
        let _ = tracing::enabled!(tracing::Level::DEBUG);
        info!("must appear");
    }
}

#[cfg(feature = "log")]
#[test]
fn records_go_by_their_own_targets_beside_other_layers() {
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::Layer as _;

    if !is_child() {
        let test = "records_go_by_their_own_targets_beside_other_layers";
        let output = child(test).output().unwrap();
        assert!(output.status.success());
        let lines = parse(&output.stderr);
        let targets: Vec<_> = lines.iter().map(|line| line["target"].clone()).collect();
        assert_eq!(targets, ["loud", "quiet", "quiet", "loud"]);
        return;
    }
    let config = LogConfig {
        level: "warn,loud=debug,log=off".to_owned(),
        ..to_stderr()
    };
    let other = tracing_subscriber::layer::Identity::new().with_filter(LevelFilter::TRACE);
    let guard = cqi_log::builder()
        .with(other)
        .init(&config, &service())
        .unwrap();
    let records = || {
        log::debug!(target: "loud", "x");
        log::info!(target: "quiet", "x");
        log::warn!(target: "quiet", "x");
    };
    records();
    guard.set_level("warn").unwrap();
    records();
    guard.set_level("off,loud=trace").unwrap();
    records();
}

#[test]
fn levels_change_from_anywhere() {
    if !is_child() {
        let output = child("levels_change_from_anywhere").output().unwrap();
        assert!(output.status.success());
        let lines = parse(&output.stderr);
        let messages: Vec<_> = lines.iter().map(|line| line["message"].clone()).collect();
        assert_eq!(messages, ["detail 1", "detail 2"]);
        return;
    }
    let detail = |number| debug!("detail {number}");
    let guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    detail(0);
    std::thread::scope(|threads| {
        threads.spawn(|| guard.set_level("debug").unwrap());
    });
    detail(1);
    let nobody = tracing::subscriber::NoSubscriber::new();
    tracing::subscriber::with_default(nobody, || guard.set_level("info,it=debug").unwrap());
    detail(2);
    guard.set_level("info").unwrap();
    detail(3);
}

#[test]
fn a_closed_pipe_is_counted() {
    if !is_child() {
        let mut child = child("a_closed_pipe_is_counted").spawn().unwrap();
        drop(child.stderr.take());
        tell(&mut child);
        assert!(child.wait().unwrap().success());
        return;
    }
    let guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    until_told();
    (0..5).for_each(|_| info!("into the void"));
    let stats = guard.stats();
    assert_eq!((stats.lines_written, stats.lines_lost), (0, 5));
    guard.flush().unwrap();
}

#[test]
fn a_full_device_is_counted() {
    if !is_child() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let status = child("a_full_device_is_counted")
            .stderr(full)
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    (0..5).for_each(|_| info!("no room"));
    assert_eq!(guard.stats().lines_lost, 5);
}

#[test]
fn exiting_at_once_loses_nothing_on_standard_output() {
    if !is_child() {
        let output = child("exiting_at_once_loses_nothing_on_standard_output")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.matches("{\"timestamp\":").count();
        assert_eq!((output.status.code(), lines), (Some(7), 100), "{text}");
        assert!(text.ends_with("\"number\":99}\n"));
        return;
    }
    let _ = cqi_log::init(&config("info"), &service()).unwrap();
    (0..100).for_each(|number| info!(number, "x"));
    std::process::exit(7);
}

/// A pipe whose writing end is in non-blocking mode, as that of a child of Node.js may be.
fn non_blocking() -> (File, Stdio) {
    let (reader, writer) = pipe().unwrap();
    fcntl_setfl(&writer, fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK).unwrap();
    (File::from(reader), Stdio::from(writer))
}

#[test]
fn a_slow_reader_of_a_non_blocking_pipe_gets_every_line() {
    if !is_child() {
        let (mut reader, writer) = non_blocking();
        let mut command = child("a_slow_reader_of_a_non_blocking_pipe_gets_every_line");
        let mut child = command.stderr(writer).spawn().unwrap();
        drop(command);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        let lines = parse(&text);
        assert_eq!(lines.len(), 200);
        assert!(
            lines
                .iter()
                .all(|line| line["filler"].as_str().unwrap().len() == 20_000)
        );
        return;
    }
    let guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    let filler = "x".repeat(20_000);
    (0..200).for_each(|_| info!(filler, "x"));
    assert_eq!(guard.stats().lines_lost, 0);
}

#[test]
fn a_reader_that_stopped_costs_one_wait_and_whole_lines_follow() {
    if !is_child() {
        let (mut reader, writer) = non_blocking();
        let mut command = child("a_reader_that_stopped_costs_one_wait_and_whole_lines_follow");
        let mut child = command.stderr(writer).spawn().unwrap();
        drop(command);
        // The child says on standard output that it lost lines; only then is there a reader.
        let mut stdout = child.stdout.take().unwrap();
        let mut seen = String::new();
        while !seen.contains("stuck") {
            let mut byte = [0];
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{seen}");
            seen.push(char::from(byte[0]));
        }
        let mut text = vec![0; 65_536];
        let drained = reader.read(&mut text).unwrap();
        text.truncate(drained);
        tell(&mut child);
        reader.read_to_end(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        let text = String::from_utf8(text).unwrap();
        let whole = text
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok());
        assert_eq!(whole.count(), text.lines().count() - 1, "one line is torn");
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["message"], "log lines were lost");
        let lost = last["lines_lost"].as_u64().unwrap();
        assert!(lost >= 290, "{lost}");
        let last: Value = serde_json::from_str(text.lines().rev().nth(1).unwrap()).unwrap();
        assert_eq!(last["message"], "room again");
        return;
    }
    let guard = cqi_log::init(&to_stderr(), &service()).unwrap();
    let filler = "x".repeat(20_000);
    (0..300).for_each(|_| info!(filler, "x"));
    let stats = guard.stats();
    assert!(
        stats.lines_written >= 3 && stats.lines_lost >= 290,
        "{stats:?}"
    );
    println!("stuck");
    io::stdout().flush().unwrap();
    until_told();
    info!("room again");
    assert_eq!(guard.stats().lines_written, stats.lines_written + 2);
}
