//! Levels at start and while running.

use cqi_errors::Kind;
use tracing::{debug, error, info, trace, warn};

use crate::logs::{Logs, config, service};

fn messages(logs: &Logs) -> Vec<String> {
    let message = |line: &serde_json::Value| line["message"].as_str().unwrap().to_owned();
    logs.lines().iter().map(message).collect()
}

/// Always the same callsites, so that what they remember of a level would show.
fn all_levels() {
    error!("error");
    warn!("warn");
    info!("info");
    debug!("debug");
    trace!("trace");
    debug!(target: "cqi_bus::consumer", "bus");
}

/// Returns a logger alone, and one beside a layer that wants everything.
fn both(level: &str) -> [Logs; 2] {
    let other = tracing_subscriber::layer::Identity::new();
    let beside = Logs::with(cqi_log::builder().with(other), &config(level));
    [Logs::at(level), beside]
}

#[test]
fn levels_change_at_callsites_that_have_run() {
    both("info").iter().for_each(levels_change);
}

fn levels_change(logs: &Logs) {
    logs.run(all_levels);
    for (directives, expected) in [
        ("cqi_bus=debug,info", vec!["error", "warn", "info", "bus"]),
        ("off", vec![]),
        (
            "trace",
            vec!["error", "warn", "info", "debug", "trace", "bus"],
        ),
        ("error,cqi_bus::consumer=trace", vec!["error", "bus"]),
        ("warn", vec!["error", "warn"]),
    ] {
        let before = messages(logs).len();
        logs.guard.set_level(directives).unwrap();
        logs.run(all_levels);
        assert_eq!(messages(logs)[before..], expected, "{directives}");
        assert_eq!(logs.guard.level(), directives);
    }
}

#[test]
fn spans_open_while_the_level_changes_stay_in_the_lines() {
    for logs in both("info") {
        logs.run(|| {
            let _outer = tracing::info_span!("outer", outer = true).entered();
            logs.guard.set_level("debug").unwrap();
            let _inner = tracing::debug_span!("inner", inner = true).entered();
            debug!("shown");
            logs.guard.set_level("error").unwrap();
            error!("still whole");
        });
        let lines = logs.lines();
        assert_eq!(
            (&lines[0]["outer"], &lines[0]["inner"]),
            (&true.into(), &true.into())
        );
        assert_eq!(
            (&lines[1]["outer"], &lines[1]["inner"]),
            (&true.into(), &true.into())
        );
    }
}

#[test]
fn a_bad_level_changes_nothing() {
    let logs = Logs::at("warn");
    let error = logs.guard.set_level("info,cqi_bus=verbose").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(
        error.to_string().contains("directive `cqi_bus=verbose`"),
        "{error}"
    );
    assert_eq!(logs.guard.level(), "warn");
    logs.run(all_levels);
    assert_eq!(messages(&logs), ["error", "warn"]);
}

#[test]
fn a_bad_level_in_the_settings_is_refused() {
    let error = cqi_log::builder()
        .build(&config("inof"), &service())
        .unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.field(), Some("log.level"));
}

#[test]
fn a_guard_may_outlive_its_subscriber() {
    let Logs {
        guard, dispatch, ..
    } = Logs::new();
    drop(dispatch);
    let error = guard.set_level("debug").unwrap_err();
    assert_eq!(
        error.to_string(),
        "set the log level: its subscriber no longer exists"
    );
    assert_eq!(guard.level(), "info");
}

#[test]
fn the_level_changes_under_load() {
    let logs = Logs::at("info");
    std::thread::scope(|threads| {
        let worker = threads.spawn(|| logs.run(|| (0..2_000).for_each(|_| all_levels())));
        for round in 0..200 {
            logs.guard
                .set_level(if round % 2 == 0 { "trace" } else { "error" })
                .unwrap();
        }
        worker.join().unwrap();
    });
    logs.guard.set_level("error").unwrap();
    let before = messages(&logs).len();
    logs.run(all_levels);
    assert_eq!(messages(&logs)[before..], ["error"]);
}
