//! The crate's own help for the tests of its users.

use cqi_config::{LogConfig, LogFormat, ServiceConfig};
use cqi_log::testing::{Capture, capture};
use tracing::instrument::WithSubscriber as _;
use tracing::{info, trace};

#[test]
fn lines_of_this_thread_are_captured_until_it_is_dropped() {
    let outer = capture();
    trace!(asset = "btc", "in outer");
    {
        let inner = capture();
        info!("in inner");
        assert_eq!(inner.lines().len(), 1);
    }
    info!("in outer again");
    let lines = outer.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["asset"], "btc");
    outer.clear();
    assert!(outer.lines().is_empty());
    assert_eq!(outer.guard().stats().lines_written, 2);
    drop(outer);
    info!("nobody listens");
}

#[test]
fn another_thread_takes_the_dispatch() {
    let logs = capture();
    let future = async { info!("elsewhere") }.with_subscriber(logs.dispatch().clone());
    std::thread::spawn(|| pollster(future)).join().unwrap();
    assert_eq!(logs.lines()[0]["message"], "elsewhere");
}

/// Polls a future that is ready at once.
fn pollster(future: impl Future<Output = ()>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(future).poll(&mut context).is_ready());
}

#[test]
fn text_is_captured_as_it_is() {
    let config = LogConfig {
        format: LogFormat::Compact,
        ..LogConfig::default()
    };
    let logs = Capture::new(cqi_log::builder(), &config, &ServiceConfig::default()).unwrap();
    info!("for a person");
    assert!(logs.text().ends_with("INFO it::capture: for a person\n"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| logs.lines())).is_err());
}

#[test]
fn settings_may_be_wrong() {
    let config = LogConfig {
        level: "loud".to_owned(),
        ..LogConfig::default()
    };
    assert!(Capture::new(cqi_log::builder(), &config, &ServiceConfig::default()).is_err());
}
