//! Not one allocation for an event, counted exactly.

use std::error::Error;
use std::path::Path;

use allocation_counter::measure;
use cqi_config::{LogConfig, LogFormat, LogOutput};
use cqi_log::Builder;
use tracing::{debug, dispatcher, error, info, info_span, trace};

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

#[test]
fn a_span_allocates_little() {
    let (dispatch, _guard) = cqi_log::builder()
        .writer(std::io::sink())
        .build(&config("info"), &service())
        .unwrap();
    dispatcher::with_default(&dispatch, || {
        let span = || drop(info_span!("request", method = "GET", user = 42));
        (0..100).for_each(|_| span());
        assert!(measure(span).count_total <= 3);
    });
}
