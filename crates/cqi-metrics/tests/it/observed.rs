//! Values that are read at each scrape.

use std::sync::mpsc::sync_channel;
use std::thread;

use cqi_metrics::Format;

use crate::guard::value;
use crate::{metrics, settings};

#[test]
fn values_are_read_at_each_scrape() {
    let metrics = metrics(&settings());
    let mut scrapes = 0.0;
    metrics
        .counter("spans", "dropped")
        .help("x")
        .observe(move || {
            scrapes += 1.0;
            scrapes
        })
        .unwrap();
    metrics
        .gauge("pool", "connections")
        .help("x")
        .observe_each("state", ["idle", "busy"], || [3.0, 4.5])
        .unwrap();
    assert_eq!(value(&metrics, "service_spans_dropped_total"), Some(1.0));
    assert_eq!(value(&metrics, "service_spans_dropped_total"), Some(2.0));
    assert_eq!(
        value(&metrics, "service_pool_connections{state=\"idle\"}"),
        Some(3.0)
    );
    assert_eq!(
        value(&metrics, "service_pool_connections{state=\"busy\"}"),
        Some(4.5)
    );
    let wrong = metrics
        .gauge("a", "b")
        .help("x")
        .observe_each("le", ["1"], || [1.0]);
    assert!(wrong.is_err());
    let twice = metrics.gauge("a", "b").help("x");
    let twice = twice.observe_each("c", ["1", "2", "1"], || [1.0; 3]);
    assert_eq!(
        twice.unwrap_err().to_string(),
        "metric `service_a_b` has two values `1` of the label `c`"
    );
}

#[test]
fn a_function_that_panics_spoils_its_own_value_alone() {
    let metrics = metrics(&settings());
    metrics
        .gauge("a", "broken")
        .help("x")
        .observe(|| panic!("broken"))
        .unwrap();
    metrics
        .gauge("a", "half")
        .help("x")
        .observe_each("part", ["1", "2"], || [1.0, f64::NAN])
        .unwrap();
    metrics
        .gauge("a", "whole")
        .help("x")
        .observe(|| 1.0)
        .unwrap();
    for _ in 0..2 {
        assert_eq!(value(&metrics, "service_a_broken"), None);
        assert_eq!(value(&metrics, "service_a_half{part=\"1\"}"), Some(1.0));
        assert_eq!(value(&metrics, "service_a_half{part=\"2\"}"), None);
        assert_eq!(value(&metrics, "service_a_whole"), Some(1.0));
    }
}

#[test]
fn a_function_that_hangs_stops_one_scrape_alone() {
    let metrics = metrics(&settings());
    let (entered, is_entered) = sync_channel(1);
    let (go, goes) = sync_channel::<()>(0);
    let mut first = true;
    metrics
        .gauge("a", "slow")
        .help("x")
        .observe(move || {
            if !std::mem::take(&mut first) {
                entered.send(()).unwrap();
                goes.recv().unwrap();
            }
            5.0
        })
        .unwrap();
    assert_eq!(value(&metrics, "service_a_slow"), Some(5.0));
    let hung = thread::spawn({
        let metrics = metrics.clone();
        move || metrics.render(Format::OpenMetrics)
    });
    is_entered.recv().unwrap();
    assert_eq!(value(&metrics, "service_a_slow"), Some(5.0));
    metrics.gauge("a", "new").help("x").register().unwrap();
    go.send(()).unwrap();
    assert!(hung.join().unwrap().contains("service_a_slow 5.0\n"));
}
