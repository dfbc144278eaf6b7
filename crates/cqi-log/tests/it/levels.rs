//! Levels at start and while running.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cqi_errors::Kind;
use cqi_log::Builder;
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, trace, warn};
use tracing_subscriber::layer::{Context, Identity};
use tracing_subscriber::{Layer as _, Registry};

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

/// Returns a logger alone, and ones beside layers that want everything, say what they want, or do
/// nothing. One at a time: how loud any is, is known process-wide.
fn all_kinds(level: &str) -> impl Iterator<Item = Logs> {
    let kinds: [fn(Builder) -> Builder; 8] = [
        |builder| builder,
        |builder| builder.with(Identity::new()),
        |builder| builder.with(up_to(LevelFilter::TRACE)),
        |builder| builder.with(up_to(LevelFilter::ERROR)),
        |builder| builder.with(None::<Identity>),
        |builder| builder.with(up_to(LevelFilter::INFO)).with(Identity::new()),
        |builder| builder.with(Identity::new()).with(up_to(LevelFilter::OFF)),
        |builder| {
            builder
                .with(up_to(LevelFilter::TRACE))
                .with(up_to(LevelFilter::WARN))
        },
    ];
    let config = config(level);
    let build = move |kind: fn(Builder) -> Builder| Logs::with(kind(cqi_log::builder()), &config);
    kinds.into_iter().map(build)
}

fn up_to(level: LevelFilter) -> impl tracing_subscriber::Layer<Registry> + Send + Sync {
    Identity::new().with_filter(level)
}

#[test]
fn levels_change_at_callsites_that_have_run() {
    all_kinds("info").for_each(|logs| levels_change(&logs));
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
    for logs in all_kinds("info") {
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

/// Counts events.
struct Count(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Count {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_question_takes_no_event_from_the_layers_beside() {
    let count = Arc::<AtomicUsize>::default();
    let beside = Count(Arc::clone(&count)).with_filter(LevelFilter::INFO);
    let logs = Logs::with(cqi_log::builder().with(beside), &config("debug"));
    logs.run(|| {
        for _ in 0..3 {
            assert!(tracing::enabled!(tracing::Level::DEBUG));
            info!("after a question");
        }
    });
    assert_eq!((logs.lines().len(), count.load(Ordering::Relaxed)), (3, 3));
}
