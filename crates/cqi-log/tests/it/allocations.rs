//! Not one allocation for an event, counted exactly.

use std::error::Error;
use std::path::Path;
use std::sync::{Barrier, Mutex};

use allocation_counter::measure;
use cqi_config::{LogConfig, LogFormat, LogOutput};
use cqi_log::Builder;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, dispatcher, error, info, info_span, trace};

use tracing_subscriber::Layer as _;

use crate::logs::{config, service};

const EVENTS: u64 = 100;

/// Counts the allocations of all kinds of events once the thread has warmed up.
pub(crate) fn of_events(builder: Builder, config: &LogConfig) -> u64 {
    let config = LogConfig {
        output: LogOutput::File,
        file: Some(Path::new("/dev/null").to_owned()),
        ..config.clone()
    };
    let (dispatch, guard) = builder.build(&config, &service()).unwrap();
    let failed = cqi_errors::Error::temporary("refused").context("read asset");
    let mut allocations = 0;
    let mut measured = || {
        events(&failed);
        let before = guard.stats();
        allocations += measure(|| (0..EVENTS).for_each(|_| events(&failed))).count_total;
        assert_eq!(
            guard.stats().lines_written,
            before.lines_written + EVENTS * 5
        );
    };
    dispatcher::with_default(&dispatch, || {
        measured();
        let _outer =
            info_span!("request", method = "GET", path = "/v1/assets", user = 42).entered();
        measured();
        let _middle = info_span!("transaction", attempt = 1, isolation = ?"serializable").entered();
        measured();
        let inner = info_span!(
            "query",
            rows = tracing::field::Empty,
            table = "assets",
            user = 43
        )
        .entered();
        inner.record("rows", 7);
        measured();
    });
    assert_eq!(guard.stats().lines_lost, 0);
    allocations
}

fn events(failed: &cqi_errors::Error) {
    info!("no field");
    info!(asset = "btc", "one field");
    info!(
        signed = -1,
        unsigned = u64::MAX,
        wide = i128::MAX,
        float = 0.25,
        yes = true,
        text = "a \"quoted\" text\n",
        debug = ?Some([1, 2, 3]),
        display = %std::net::Ipv4Addr::LOCALHOST,
        "eight fields and {} in the text",
        "a value"
    );
    error!(
        error = failed as &dyn Error,
        password = "hunter2",
        user = 44,
        "an error"
    );
    info!(parent: None, level = "taken", twice = 1, twice = 2, "odd ones");
    debug!(asset = "btc", "hidden");
    trace!("hidden");
}

#[test]
fn an_event_allocates_nothing() {
    assert_eq!(of_events(cqi_log::builder(), &config("info")), 0);
}

#[test]
fn an_event_for_people_allocates_nothing() {
    for format in [LogFormat::Compact, LogFormat::Pretty] {
        let config = LogConfig {
            format,
            ..config("info")
        };
        assert_eq!(of_events(cqi_log::builder(), &config), 0, "{format:?}");
    }
}

#[test]
fn an_event_past_a_level_by_target_allocates_nothing() {
    let config = config("warn,it=info,cqi_db=debug,hyper=off");
    assert_eq!(of_events(cqi_log::builder(), &config), 0);
}

/// Refuses every other line.
struct Flapping(bool);

impl std::io::Write for Flapping {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0 = !self.0;
        if self.0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn telling_of_lost_lines_allocates_nothing() {
    let (dispatch, guard) = cqi_log::builder()
        .writer(Flapping(true))
        .build(&config("info"), &service())
        .unwrap();
    dispatcher::with_default(&dispatch, || {
        info!(warm = 1, "the thread's buffers");
        let told = measure(|| (0..3).for_each(|_| info!("x")));
        assert_eq!(told.count_total, 0);
    });
    let stats = guard.stats();
    assert_eq!((stats.lines_written, stats.lines_lost), (3, 1));
}

#[test]
fn a_long_line_is_not_kept() {
    let (dispatch, _guard) = cqi_log::builder()
        .writer(std::io::sink())
        .build(&config("info"), &service())
        .unwrap();
    let long = "x".repeat(1024 * 1024);
    dispatcher::with_default(&dispatch, || {
        info!("warm");
        let during = measure(|| {
            let _span = info_span!("long", long).entered();
            info!(long, ?long, "{long}");
        });
        assert!(during.bytes_max > 2 * 1024 * 1024);
        // What stays is a bounded buffer for each of line, message, fields and spans.
        assert!(
            during.bytes_current <= 4 * 64 * 1024,
            "{}",
            during.bytes_current
        );
    });
}

/// Opens and closes all kinds of spans.
fn spans() {
    drop(info_span!("none"));
    drop(info_span!("one", user = 42));
    drop(info_span!("two", method = "GET", user = 42));
    drop(info_span!("debug", value = ?Some([1, 2, 3]), password = "hunter2"));
    let _outer = info_span!(
        "eight",
        method = "GET",
        path = "/v1/assets/btc",
        user = 42,
        float = 0.5,
        yes = true,
        wide = u128::MAX,
        status = tracing::field::Empty,
        size = tracing::field::Empty,
    )
    .entered();
    let inner = info_span!("inner", trace_id = 1_u128, span_id = 2_u64);
    inner.in_scope(|| {
        Span::current().record("trace_id", 3_u128);
        tracing::record_all!(_outer, status = 200, size = u64::MAX);
        info!("inside");
        let _hidden = tracing::debug_span!("hidden", user = 1).entered();
        info!("inside");
    });
    drop(info_span!(parent: &inner, "child", a = 1));
    drop(info_span!(parent: None, "root", a = 1));
}

#[test]
fn a_span_allocates_nothing() {
    let alone = cqi_log::builder;
    let other = tracing_subscriber::layer::Identity::new;
    let beside = || cqi_log::builder().with(other());
    let known = || cqi_log::builder().with(other().with_filter(LevelFilter::TRACE));
    for builder in [alone(), beside(), known()] {
        let (dispatch, guard) = builder
            .writer(std::io::sink())
            .build(&config("info"), &service())
            .unwrap();
        dispatcher::with_default(&dispatch, || {
            (0..100).for_each(|_| spans());
            let counted = measure(|| (0..EVENTS).for_each(|_| spans()));
            assert_eq!(counted.count_total, 0);
        });
        assert_eq!(guard.stats().lines_written, 2 * (100 + EVENTS));
    }
}

#[test]
fn a_span_that_another_thread_closes_allocates_nothing() {
    let (dispatch, _guard) = cqi_log::builder()
        .writer(std::io::sink())
        .build(&config("info"), &service())
        .unwrap();
    let passed: Mutex<Option<Span>> = Mutex::new(None);
    let turn = Barrier::new(2);
    let open = || {
        let status = tracing::field::Empty;
        let span = info_span!("request", method = "GET", status = status);
        *passed.lock().unwrap() = Some(span);
        turn.wait();
        turn.wait();
    };
    let close = || {
        turn.wait();
        let span = passed.lock().unwrap().take().unwrap();
        span.record("status", 200);
        span.in_scope(|| info!("elsewhere"));
        drop(span);
        turn.wait();
    };
    let counted = |step: &dyn Fn()| {
        dispatcher::with_default(&dispatch, || {
            (0..EVENTS).for_each(|_| step());
            measure(|| (0..EVENTS).for_each(|_| step())).count_total
        })
    };
    std::thread::scope(|threads| {
        let closing = threads.spawn(|| counted(&close));
        assert_eq!(counted(&open), 0);
        assert_eq!(closing.join().unwrap(), 0);
    });
}

#[test]
fn spans_leave_nothing_behind_whatever_the_levels_become() {
    let other = tracing_subscriber::layer::Identity::new;
    let beside = || cqi_log::builder().with(other());
    let known = || cqi_log::builder().with(other().with_filter(LevelFilter::TRACE));
    for builder in [cqi_log::builder(), beside(), known()] {
        let (dispatch, guard) = builder
            .writer(std::io::sink())
            .build(&config("info"), &service())
            .unwrap();
        let flip = || {
            let seen = info_span!("seen", user = 42).entered();
            guard.set_level("off").unwrap();
            let hidden = info_span!("hidden", user = 42).entered();
            guard.set_level("info").unwrap();
            drop(info_span!("inner", user = 42));
            drop((hidden, seen));
        };
        dispatcher::with_default(&dispatch, || {
            (0..10).for_each(|_| flip());
            let left = measure(|| (0..200).for_each(|_| flip())).bytes_current;
            assert!(left < 4096, "{left}");
        });
    }
}

#[test]
fn threads_open_and_close_each_others_spans() {
    let (dispatch, guard) = cqi_log::builder()
        .with(tracing_subscriber::layer::Identity::new().with_filter(LevelFilter::TRACE))
        .writer(std::io::sink())
        .build(&config("info"), &service())
        .unwrap();
    let passed: [Mutex<Option<Span>>; 4] = Default::default();
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (dispatch, passed) = (&dispatch, &passed);
            threads.spawn(move || {
                dispatcher::with_default(dispatch, || {
                    for round in 0..5_000 {
                        let span = info_span!("request", thread, round);
                        let inner = span.in_scope(|| tracing::debug_span!("inner", round));
                        inner.in_scope(|| info!("inside"));
                        let next = &passed[(thread + round) % 4];
                        let other = next.lock().unwrap().replace(inner);
                        if let Some(other) = other {
                            other.record("round", 0);
                            other.in_scope(|| info!("elsewhere"));
                        }
                    }
                });
            });
        }
        for round in 0..50 {
            let level = if round % 2 == 0 { "debug" } else { "info" };
            guard.set_level(level).unwrap();
        }
    });
    dispatcher::with_default(&dispatch, || drop(passed));
    assert_eq!(guard.stats().lines_lost, 0);
    assert!(guard.stats().lines_written >= 4 * 5_000);
}
