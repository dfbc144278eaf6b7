//! Events per second of JSON logs: CQI beside other JSON layers of `tracing`.
//!
//! All write to the same kind of sink and take turns in short rounds of equal length, so that a busy
//! machine slows all of them alike; what counts are the ratios of their best rounds.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use cqi_config::{LogConfig, ServiceConfig};
use tracing::{Dispatch, info, info_span};
use tracing_bunyan_formatter::{BunyanFormattingLayer, JsonStorageLayer};
use tracing_subscriber::layer::SubscriberExt as _;

const ROUNDS: usize = 200;
const ROUND: Duration = Duration::from_millis(2);

/// Takes lines and forgets them.
struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        black_box(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn contestants() -> Vec<(&'static str, Dispatch)> {
    let (cqi, _) = cqi_log::builder()
        .writer(Sink)
        .build(&LogConfig::default(), &ServiceConfig::default())
        .expect("the default settings are valid");
    let fmt = tracing_subscriber::fmt()
        .json()
        .with_writer(|| Sink)
        .finish();
    let json_subscriber = json_subscriber::fmt().with_writer(|| Sink).finish();
    let bunyan = tracing_subscriber::registry()
        .with(JsonStorageLayer)
        .with(BunyanFormattingLayer::new("service".into(), || Sink));
    vec![
        ("cqi-log", cqi),
        ("tracing-subscriber fmt().json()", fmt.into()),
        ("json-subscriber", json_subscriber.into()),
        ("tracing-bunyan-formatter", bunyan.into()),
    ]
}

fn no_span(events: u32) {
    for attempt in 0..events {
        info!(attempt, asset = "btc", "price updated");
    }
}

fn one_span(events: u32) {
    info_span!(
        "request",
        method = "GET",
        path = "/v1/prices/btc",
        user = 42
    )
    .in_scope(|| no_span(events));
}

fn three_spans(events: u32) {
    info_span!(
        "request",
        method = "GET",
        path = "/v1/prices/btc",
        user = 42
    )
    .in_scope(|| {
        info_span!("cache", key = "prices:btc", hit = false).in_scope(|| {
            info_span!("query", table = "prices", rows = 1).in_scope(|| {
                for attempt in 0..events {
                    info!(
                        attempt,
                        asset = "btc",
                        venue = "kraken",
                        price = 91_234.5,
                        size = 12_u64,
                        stale = false,
                        cursor = ?Some(7),
                        source = %"book",
                        "price updated"
                    );
                }
            });
        });
    });
}

/// Returns the nanoseconds that each of so many events took.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed(dispatch: &Dispatch, scenario: fn(u32), events: u32) -> f64 {
    let start = Instant::now();
    tracing::dispatcher::with_default(dispatch, || scenario(events));
    start.elapsed().as_nanos() as f64 / f64::from(events)
}

fn main() {
    let scenarios: [(&str, fn(u32)); 3] = [
        ("2 fields, no span", no_span),
        ("2 fields in one span of 3", one_span),
        ("8 fields in three spans of 7", three_spans),
    ];
    let contestants = contestants();
    for (title, scenario) in scenarios {
        let events = contestants.iter().map(|(_, dispatch)| {
            let warm = (0..5).map(|_| timed(dispatch, scenario, 500));
            (ROUND.as_nanos() as f64 / warm.fold(f64::INFINITY, f64::min)) as u32
        });
        let events: Vec<_> = events.collect();
        let mut times = vec![Vec::with_capacity(ROUNDS); contestants.len()];
        for _ in 0..ROUNDS {
            for (index, (_, dispatch)) in contestants.iter().enumerate() {
                times[index].push(timed(dispatch, scenario, events[index]));
            }
        }
        for times in &mut times {
            times.sort_unstable_by(f64::total_cmp);
        }
        println!(
            "\n{title:<34} {:>9} {:>9} {:>12} {:>8}",
            "best ns", "median", "events/s", "ratio"
        );
        for ((name, _), own) in contestants.iter().zip(&times) {
            let (best, median) = (own[0], own[ROUNDS / 2]);
            let ratio = best / times[0][0];
            println!(
                "{name:<34} {best:>9.0} {median:>9.0} {:>12.0} {ratio:>7.2}x",
                1e9 / best
            );
        }
    }
}
