//! Events per second of JSON logs: CQI beside other JSON layers of `tracing`.
//!
//! All write to the same kind of sink and take turns in short rounds, so that a busy machine slows
//! all of them; what counts are the ratios of their best rounds.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use cqi_config::{LogConfig, ServiceConfig};
use tracing::{Dispatch, info, info_span};
use tracing_bunyan_formatter::{BunyanFormattingLayer, JsonStorageLayer};
use tracing_subscriber::layer::SubscriberExt as _;

const ROUNDS: usize = 60;
const EVENTS: u32 = 5_000;

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
    let fmt = tracing_subscriber::fmt().json().with_writer(|| Sink).finish();
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

fn no_span() {
    for attempt in 0..EVENTS {
        info!(attempt, asset = "btc", "price updated");
    }
}

fn one_span() {
    info_span!("request", method = "GET", path = "/v1/prices/btc", user = 42).in_scope(no_span);
}

fn three_spans() {
    info_span!("request", method = "GET", path = "/v1/prices/btc", user = 42).in_scope(|| {
        info_span!("cache", key = "prices:btc", hit = false).in_scope(|| {
            info_span!("query", table = "prices", rows = 1).in_scope(|| {
                for attempt in 0..EVENTS {
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

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed(dispatch: &Dispatch, scenario: fn()) -> Duration {
    let start = Instant::now();
    tracing::dispatcher::with_default(dispatch, scenario);
    start.elapsed()
}

fn main() {
    let scenarios: [(&str, fn()); 3] = [
        ("2 fields, no span", no_span),
        ("2 fields in one span of 3", one_span),
        ("8 fields in three spans of 7", three_spans),
    ];
    let contestants = contestants();
    for (title, scenario) in scenarios {
        let mut times = vec![Vec::with_capacity(ROUNDS); contestants.len()];
        for _ in 0..ROUNDS {
            for ((_, dispatch), times) in contestants.iter().zip(&mut times) {
                times.push(timed(dispatch, scenario));
            }
        }
        for times in &mut times {
            times.sort_unstable();
        }
        let per_event = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(EVENTS);
        println!("\n{title:<34} {:>9} {:>9} {:>12} {:>8}", "best ns", "median", "events/s", "ratio");
        for ((name, _), own) in contestants.iter().zip(&times) {
            let (best, median) = (per_event(own[0]), per_event(own[ROUNDS / 2]));
            let ratio = best / per_event(times[0][0]);
            println!("{name:<34} {best:>9.0} {median:>9.0} {:>12.0} {ratio:>7.2}x", 1e9 / best);
        }
    }
}
