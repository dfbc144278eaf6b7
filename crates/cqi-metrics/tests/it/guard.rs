//! Series stay bounded, and what is over is counted.

use std::thread;

use allocation_counter::measure;
use cqi_config::MetricsConfig;
use cqi_metrics::{EncodeLabelSet, EncodeLabelValue, Format, Metrics};

use crate::{metrics, settings};

fn of_at_most(max_series: u32) -> Metrics {
    metrics(&MetricsConfig {
        max_series,
        ..settings()
    })
}

/// Returns the value of a sample.
pub(crate) fn value(metrics: &Metrics, sample: &str) -> Option<f64> {
    let text = metrics.render(Format::OpenMetrics);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    line.split(' ').next()?.parse().ok()
}

fn samples(metrics: &Metrics, name: &str) -> usize {
    let text = metrics.render(Format::OpenMetrics);
    text.lines().filter(|line| line.starts_with(name)).count()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Side {
    Buy,
    Sell,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Order {
    side: Side,
    venue: String,
}

fn order(side: Side, venue: &str) -> Order {
    Order {
        side,
        venue: venue.to_owned(),
    }
}

#[test]
fn labels_may_be_a_type() {
    let metrics = of_at_most(3);
    let orders = metrics
        .counter("orders", "placed")
        .help("x")
        .labels::<Order>()
        .unwrap();
    orders.get(&order(Side::Buy, "x\"\\\nas")).inc();
    orders.get(&order(Side::Buy, "x\\nas")).inc();
    orders.get(&order(Side::Buy, "x\\nas")).inc_by(2);
    orders.get(&order(Side::Sell, "xnas")).inc();
    orders.get(&order(Side::Sell, "xpar")).inc();
    orders.get(&order(Side::Sell, "xlon")).inc();
    let of = |labels: &str| {
        value(
            &metrics,
            &format!("service_orders_placed_total{{{labels}}}"),
        )
    };
    assert_eq!(of("side=\"Buy\",venue=\"x\\\\nas\""), Some(3.0));
    assert_eq!(of("side=\"Sell\",venue=\"xnas\""), Some(1.0));
    // Two that were too many, and one with a line break.
    assert_eq!(of("side=\"other\",venue=\"other\""), Some(3.0));
    assert_eq!(samples(&metrics, "service_orders_placed_total"), 3);
    let metric = "service_metrics_series_overflow_total{metric=\"service_orders_placed_total\"}";
    assert_eq!(value(&metrics, metric), Some(3.0));
    let described = metrics
        .describe()
        .into_iter()
        .find(|metric| metric.name == "service_orders_placed_total")
        .unwrap();
    assert_eq!(described.labels, ["side", "venue"]);
}

#[test]
fn typed_labels_of_wrong_names_are_counted_without_them() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Wrong {
        le: u32,
    }
    let metrics = of_at_most(10);
    let family = metrics
        .histogram("a", "b")
        .help("x")
        .labels::<Wrong>()
        .unwrap();
    family.get(&Wrong { le: 1 }).observe(1.0);
    family.get(&Wrong { le: 2 }).observe(1.0);
    assert_eq!(value(&metrics, "service_a_b_count"), Some(2.0));
    assert_eq!(samples(&metrics, "service_a_b"), 12);
}

#[test]
fn other_is_one_series_however_it_comes() {
    let metrics = of_at_most(2);
    let named = metrics
        .counter("a", "named")
        .help("x")
        .label_names(["b"])
        .unwrap();
    named.get(["other"]).inc();
    named.get(["\u{7}"]).inc();
    named.get([&"x".repeat(129)]).inc();
    assert_eq!(
        value(&metrics, "service_a_named_total{b=\"other\"}"),
        Some(3.0)
    );
    assert_eq!(samples(&metrics, "service_a_named_total"), 1);
    let typed = metrics
        .counter("a", "typed")
        .help("x")
        .labels::<Order>()
        .unwrap();
    typed.get(&order(Side::Buy, &"x".repeat(129))).inc();
    typed.get(&order(Side::Buy, "\u{7}")).inc();
    assert_eq!(
        value(
            &metrics,
            "service_a_typed_total{side=\"other\",venue=\"other\"}"
        ),
        Some(2.0)
    );
}

#[test]
fn a_histogram_costs_its_buckets() {
    let metrics = of_at_most(24);
    let family = metrics
        .histogram("a", "b")
        .help("x")
        .label_names(["c"])
        .unwrap();
    for label in ["1", "2", "3"] {
        family.get([label]).observe(0.5);
    }
    // Nine buckets, the one without a bound, sum and count; for the first and `other`.
    assert_eq!(samples(&metrics, "service_a_b"), 24);
    assert_eq!(value(&metrics, "service_a_b_count{c=\"1\"}"), Some(1.0));
    assert_eq!(value(&metrics, "service_a_b_count{c=\"other\"}"), Some(2.0));
}

#[test]
fn a_flood_from_many_threads_loses_nothing() {
    const THREADS: u64 = 8;
    const EACH: u64 = 5_000;
    let metrics = of_at_most(100);
    let family = metrics
        .counter("a", "b")
        .help("x")
        .label_names(["c"])
        .unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..EACH {
                    family.get([&number.to_string()]).inc();
                }
            });
        }
    });
    let text = metrics.render(Format::OpenMetrics);
    let values = text
        .lines()
        .filter_map(|line| line.strip_prefix("service_a_b_total{c=")?.rsplit_once("} "));
    let values: Vec<(_, u64)> = values
        .map(|(label, value)| (label, value.parse().unwrap()))
        .collect();
    assert!((99..=100).contains(&values.len()), "{}", values.len());
    assert_eq!(
        values.iter().map(|(_, value)| value).sum::<u64>(),
        THREADS * EACH
    );
    let mut labels: Vec<_> = values.iter().map(|(label, _)| label).collect();
    labels.dedup();
    assert_eq!(labels.len(), values.len());
}

#[test]
fn lookups_and_rejected_labels_allocate_nothing() {
    let metrics = of_at_most(20);
    let named = metrics
        .counter("a", "named")
        .help("x")
        .label_names(["b", "c"])
        .unwrap();
    let typed = metrics
        .histogram("a", "typed")
        .help("x")
        .labels::<Order>()
        .unwrap();
    let rejected: Vec<_> = (0..100)
        .map(|number| order(Side::Buy, &number.to_string()))
        .collect();
    let all = || {
        for set in &rejected {
            named.get(["x", &set.venue]).inc();
            typed.get(set).observe(1.0);
        }
    };
    all();
    let info = measure(all);
    assert_eq!((info.count_total, info.count_current), (0, 0));
}

#[test]
fn a_kept_collector_is_the_one_that_is_found() {
    let metrics = of_at_most(20);
    let family = metrics
        .gauge("a", "b")
        .help("x")
        .label_names(["c"])
        .unwrap();
    let kept = family.clone().get(["x"]).clone();
    kept.inc();
    family.get(["x"]).add(2.5);
    kept.dec();
    assert_eq!(family.get(["x"]).get(), 2.5);
}
