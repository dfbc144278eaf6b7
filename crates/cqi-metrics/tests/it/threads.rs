//! Many threads count, and one reads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cqi_metrics::{Format, MetricsLayer};
use cqi_tower::ObserveLayer;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Builder;
use tower::{Layer, Service, service_fn};

use crate::guard::value;
use crate::{metrics, settings};

const THREADS: usize = 8;
const EACH: usize = 20_000;

#[test]
fn nothing_is_lost_and_each_reading_is_consistent() {
    let metrics = metrics(&settings());
    let histogram = metrics.histogram("a", "measured").help("x");
    let histogram = histogram.buckets([1.0, 2.0]).register().unwrap();
    let gauge = metrics.gauge("a", "moved").help("x").register().unwrap();
    let running = AtomicUsize::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..EACH {
                    histogram.observe((number % 4) as f64);
                    gauge.add(0.5);
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut last = [0.0; 4];
        while running.load(Ordering::Relaxed) > 0 {
            let text = metrics.render(Format::OpenMetrics);
            let samples = [
                "bucket{le=\"1.0\"}",
                "bucket{le=\"2.0\"}",
                "bucket{le=\"+Inf\"}",
                "count",
            ];
            let now = samples.map(|sample| -> f64 {
                let name = format!("service_a_measured_{sample} ");
                let mut lines = text.lines();
                let value = lines.find_map(|line| line.strip_prefix(&name)).unwrap();
                value.parse().unwrap()
            });
            assert!(now.is_sorted() && now[2] == now[3], "{now:?}");
            assert!(
                last.iter().zip(&now).all(|(last, now)| last <= now),
                "{last:?} {now:?}"
            );
            last = now;
        }
    });
    let all = (THREADS * EACH) as f64;
    assert_eq!(value(&metrics, "service_a_measured_count"), Some(all));
    assert_eq!(value(&metrics, "service_a_measured_sum"), Some(all * 1.5));
    assert_eq!((histogram.sum(), histogram.len() as f64), (all * 1.5, all));
    assert_eq!(gauge.get(), all / 2.0);
}

#[test]
fn requests_may_end_on_other_threads_than_they_began_on() {
    let metrics = metrics(&settings());
    let layer = ObserveLayer::new(MetricsLayer::new(&metrics).unwrap());
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let begin = || {
        let _entered = runtime.enter();
        let waiting = |_: Request<Full<&'static [u8]>>| {
            std::future::pending::<Result<Response<Full<&'static [u8]>>, std::convert::Infallible>>(
            )
        };
        layer
            .layer(service_fn(waiting))
            .call(Request::new(Full::default()))
    };
    let in_flight = || value(&metrics, "service_http_requests_in_flight").unwrap();
    for round in 0..50 {
        let begun: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(begin)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(in_flight(), THREADS as f64, "{round}");
        thread::scope(|scope| {
            for request in begun {
                scope.spawn(move || drop(request));
            }
            for _ in 0..10 {
                let now = in_flight();
                assert!((0.0..=THREADS as f64).contains(&now), "{now}");
            }
        });
        assert_eq!(in_flight(), 0.0, "{round}");
    }
}
