//! The end: what is delivered, and in which time.

use std::net::TcpListener;
use std::time::Duration;

use cqi_config::TracingConfig;
use cqi_errors::Kind;
use cqi_trace::Tracing;
use cqi_trace::testing::{Collector, Fault};
use tokio::time::Instant;
use tracing::info_span;

use crate::traces::{SOON, logs, service};

/// A shutdown that waits for something it should not wait for takes longer than this.
const QUICKLY: Duration = Duration::from_secs(2);

/// From where a service shuts down.
const PLACES: [fn(Job); 5] = [
    plain,
    current_thread,
    multi_thread,
    multi_thread_task,
    blocking,
];

type Job = Box<dyn FnOnce() + Send>;

fn plain(job: Job) {
    job();
}

fn current_thread(job: Job) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    block_on(runtime, async { job() });
}

fn multi_thread(job: Job) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    block_on(runtime, async { job() });
}

fn multi_thread_task(job: Job) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1);
    block_on(runtime, async {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async { job() });
        tasks.join_all().await;
    });
}

fn blocking(job: Job) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    block_on(runtime, async {
        tokio::task::spawn_blocking(job).await.unwrap();
    });
}

fn block_on(mut runtime: tokio::runtime::Builder, job: impl Future<Output = ()>) {
    runtime.enable_all().build().unwrap().block_on(job);
}

fn took(job: impl FnOnce()) -> Duration {
    let start = Instant::now();
    job();
    start.elapsed()
}

/// Ends 100 spans within, and shuts down.
fn spans_and_shutdown(
    config: &TracingConfig,
    timeout: Duration,
) -> (Tracing, cqi_errors::Result<()>) {
    let tracing = Tracing::init(config, &service()).unwrap();
    let _logs = logs(&tracing, "error");
    for _ in 0..100 {
        drop(info_span!("x"));
    }
    let result = tracing.shutdown(timeout);
    (tracing, result)
}

fn in_each_place(fault: Option<Fault>, check: fn(&TracingConfig)) {
    for place in PLACES {
        let collector = Collector::start().unwrap();
        collector.set_fault(fault.unwrap_or_default());
        let config = TracingConfig {
            batch_delay: Duration::from_secs(3600),
            ..collector.config()
        };
        if fault.is_none() {
            drop(collector);
            place(Box::new(move || check(&config)));
        } else {
            place(Box::new(move || check(&config)));
        }
    }
}

#[test]
fn all_is_delivered() {
    in_each_place(Some(Fault::None), |config| {
        let took = took(|| {
            let (tracing, result) = spans_and_shutdown(config, SOON);
            result.unwrap();
            assert_eq!(tracing.stats().exported, 100);
        });
        assert!(took < QUICKLY, "{took:?}");
    });
}

#[test]
fn a_slow_collector_is_waited_for() {
    in_each_place(Some(Fault::Slow(Duration::from_millis(100))), |config| {
        let (tracing, result) = spans_and_shutdown(config, SOON);
        result.unwrap();
        assert_eq!(tracing.stats().exported, 100);
    });
}

#[test]
fn a_collector_that_is_down_is_not_waited_for() {
    in_each_place(None, |config| {
        let took = took(|| {
            let (tracing, result) = spans_and_shutdown(config, SOON);
            assert!(result.unwrap_err().kind() == Kind::Temporary);
            assert_eq!(tracing.stats().dropped, 100);
        });
        assert!(took < QUICKLY, "{took:?}");
    });
}

#[test]
fn one_that_fails_is_not_tried_again() {
    for fault in [Fault::Unavailable, Fault::Refuse, Fault::HangUp] {
        in_each_place(Some(fault), |config| {
            let took = took(|| {
                let (tracing, result) = spans_and_shutdown(config, SOON);
                assert!(result.unwrap_err().kind() == Kind::Temporary);
                assert_eq!(tracing.stats().dropped, 100);
            });
            assert!(took < QUICKLY, "{took:?}");
        });
    }
}

#[test]
fn one_that_never_answers_is_given_up_in_time() {
    for fault in [Fault::Silent, Fault::Slow(Duration::from_secs(3600))] {
        in_each_place(Some(fault), |config| {
            let took = took(|| {
                let (tracing, result) = spans_and_shutdown(config, Duration::from_millis(100));
                assert!(result.unwrap_err().kind() == Kind::Temporary);
                assert_eq!(tracing.stats().dropped, 100);
            });
            assert!(
                took >= Duration::from_millis(100) && took < QUICKLY,
                "{took:?}"
            );
        });
    }
}

#[test]
fn a_port_that_accepts_and_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = TracingConfig {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        ..TracingConfig::default()
    };
    let took = took(|| {
        let (tracing, result) = spans_and_shutdown(&config, Duration::from_millis(100));
        assert!(result.unwrap_err().kind() == Kind::Temporary);
        assert_eq!(tracing.stats().dropped, 100);
    });
    assert!(took < QUICKLY, "{took:?}");
}

#[test]
fn an_outage_that_is_under_way_is_cut_short() {
    let collector = Collector::start().unwrap();
    collector.set_fault(Fault::Unavailable);
    let tracing = Tracing::init(&collector.config(), &service()).unwrap();
    let _logs = logs(&tracing, "error");
    drop(info_span!("x"));
    // By now the pauses are long.
    collector.wait_for_exports(4);
    let took = took(|| assert!(tracing.shutdown(SOON).is_err()));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn again_it_does_nothing_and_later_spans_are_counted() {
    let collector = Collector::start().unwrap();
    let tracing = Tracing::init(&collector.config(), &service()).unwrap();
    let _logs = logs(&tracing, "error");
    let open = info_span!("open");
    drop(info_span!("x"));
    let again = tracing.clone();
    tracing.shutdown(SOON).unwrap();
    again.shutdown(SOON).unwrap();
    drop(open);
    drop(info_span!("late"));
    again.shutdown(SOON).unwrap();
    assert_eq!(collector.spans().len(), 1);
    let stats = again.stats();
    assert_eq!((stats.exported, stats.dropped, stats.waiting), (1, 2, 0));
}

#[test]
fn two_at_once_both_return() {
    let collector = Collector::start().unwrap();
    collector.set_fault(Fault::Slow(Duration::from_millis(50)));
    let tracing = Tracing::init(&collector.config(), &service()).unwrap();
    let _logs = logs(&tracing, "error");
    drop(info_span!("x"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| tracing.shutdown(SOON).unwrap());
        }
    });
    assert_eq!(tracing.stats().exported, 1);
}

#[test]
fn dropping_the_last_handle_delivers() {
    let collector = Collector::start().unwrap();
    let tracing = Tracing::init(&collector.config(), &service()).unwrap();
    let logs = logs(&tracing, "error");
    drop(info_span!("x"));
    drop(tracing.clone());
    drop(info_span!("y"));
    drop(tracing);
    assert_eq!(collector.spans().len(), 2);
    drop(info_span!("late"));
    drop(logs);
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn dropping_the_last_handle_has_a_bound() {
    let collector = Collector::start().unwrap();
    collector.set_fault(Fault::Silent);
    let config = TracingConfig {
        shutdown_timeout: Duration::from_millis(100),
        ..collector.config()
    };
    let tracing = Tracing::init(&config, &service()).unwrap();
    let _logs = logs(&tracing, "error");
    drop(info_span!("x"));
    let took = took(|| drop(tracing));
    assert!(
        took >= Duration::from_millis(100) && took < QUICKLY,
        "{took:?}"
    );
}
