//! What is written, to the letter.

use std::collections::BTreeMap;

use cqi_metrics::{EncodeLabelSet, Format, Metrics, Unit};
use cqi_tower::TraceIds;
use expect_test::expect;
use proptest::prelude::*;

use crate::{metrics, settings};

const FORMATS: [Format; 2] = [Format::OpenMetrics, Format::Text];

fn registry() -> Metrics {
    let metrics = metrics(&settings());
    let orders = metrics
        .counter("orders", "placed")
        .help("Orders, \"all\" \\ of them,\nby venue.")
        .label_names(["venue", "side"])
        .unwrap();
    orders.get(["x\"\\\nas", "buy"]).inc();
    orders.get(["", "sell"]).inc_by(2);
    orders.get(["{a=\"b\"} 1 # é", "buy"]).inc_by(u64::MAX);
    let depth = metrics.gauge("queue", "depth").help("Depth.");
    let depth = depth.label_names(["kind"]).unwrap();
    for (kind, value) in [
        ("a", -0.5),
        ("b", f64::NAN),
        ("c", f64::INFINITY),
        ("d", f64::NEG_INFINITY),
        ("e", 1e300),
        ("f", 3.0),
    ] {
        depth.get([kind]).set(value);
    }
    let price = metrics
        .histogram("fill", "slippage")
        .help("From the price that was asked for.")
        .unit(Unit::Ratio)
        .buckets([1e-7, 0.5, 1_048_576.0])
        .register()
        .unwrap();
    let trace = TraceIds {
        trace_id: 0xabc,
        span_id: 1,
        sampled: true,
    };
    price.observe_traced(0.5, Some(trace));
    price.observe(0.75);
    for spoils_the_sum in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        price.observe_traced(spoils_the_sum, Some(trace));
    }
    price.observe_traced(1e7, Some(trace));
    let busy = metrics.counter("worker", "busy").help("Busy.");
    busy.unit(Unit::Seconds).observe(|| 0.25).unwrap();
    metrics
}

/// Renders the metrics of the service alone, without the times of exemplars.
fn rendered(metrics: &Metrics, format: Format) -> String {
    let text = metrics.render(format);
    let own = text.split_inclusive('\n').filter(|line| {
        let name = line.trim_start_matches(|char: char| !char.is_ascii_lowercase());
        !name.starts_with("process_") && !name.starts_with("tokio_")
    });
    own.map(|line| match line.rsplit_once(' ') {
        Some((line, _)) if line.contains(" # {trace_id") => format!("{line} [at]\n"),
        _ => line.to_owned(),
    })
    .collect()
}

#[test]
fn open_metrics_are_written_as_specified() {
    expect![[r##"
        # TYPE service_build info
        # HELP service_build What runs.
        service_build_info{version="0.0.0",environment="development"} 1
        # TYPE service_fill_slippage_ratio histogram
        # UNIT service_fill_slippage_ratio ratio
        # HELP service_fill_slippage_ratio From the price that was asked for.
        service_fill_slippage_ratio_bucket{le="1e-07"} 0
        service_fill_slippage_ratio_bucket{le="0.5"} 1 # {trace_id="00000000000000000000000000000abc"} 0.5 [at]
        service_fill_slippage_ratio_bucket{le="1.048576e+06"} 2
        service_fill_slippage_ratio_bucket{le="+Inf"} 3 # {trace_id="00000000000000000000000000000abc"} 10000000.0 [at]
        service_fill_slippage_ratio_count 3
        service_fill_slippage_ratio_sum 10000001.25
        # TYPE service_metrics_series_overflow counter
        # HELP service_metrics_series_overflow Times a label set was counted as `other`, since its metric has as many series as it may.
        service_metrics_series_overflow_total{metric="service_orders_placed_total"} 0
        service_metrics_series_overflow_total{metric="service_queue_depth"} 0
        # TYPE service_orders_placed counter
        # HELP service_orders_placed Orders, \"all\" \\ of them,\nby venue.
        service_orders_placed_total{venue="",side="sell"} 2
        service_orders_placed_total{venue="other",side="buy"} 1
        service_orders_placed_total{venue="{a=\"b\"} 1 # é",side="buy"} 18446744073709551615
        # TYPE service_queue_depth gauge
        # HELP service_queue_depth Depth.
        service_queue_depth{kind="a"} -0.5
        service_queue_depth{kind="b"} NaN
        service_queue_depth{kind="c"} +Inf
        service_queue_depth{kind="d"} -Inf
        service_queue_depth{kind="e"} 1e300
        service_queue_depth{kind="f"} 3.0
        # TYPE service_worker_busy_seconds counter
        # UNIT service_worker_busy_seconds seconds
        # HELP service_worker_busy_seconds Busy.
        service_worker_busy_seconds_total 0.25
        # TYPE target info
        # HELP target What OpenTelemetry calls the resource.
        target_info{service_name="service",service_version="0.0.0",deployment_environment_name="development"} 1
        # EOF
    "##]].assert_eq(&rendered(&registry(), Format::OpenMetrics));
}

#[test]
fn the_text_format_is_written_as_specified() {
    expect![[r##"
        # TYPE service_build_info gauge
        # HELP service_build_info What runs.
        service_build_info{version="0.0.0",environment="development"} 1
        # TYPE service_fill_slippage_ratio histogram
        # HELP service_fill_slippage_ratio From the price that was asked for.
        service_fill_slippage_ratio_bucket{le="1e-07"} 0
        service_fill_slippage_ratio_bucket{le="0.5"} 1
        service_fill_slippage_ratio_bucket{le="1.048576e+06"} 2
        service_fill_slippage_ratio_bucket{le="+Inf"} 3
        service_fill_slippage_ratio_count 3
        service_fill_slippage_ratio_sum 10000001.25
        # TYPE service_metrics_series_overflow_total counter
        # HELP service_metrics_series_overflow_total Times a label set was counted as `other`, since its metric has as many series as it may.
        service_metrics_series_overflow_total{metric="service_orders_placed_total"} 0
        service_metrics_series_overflow_total{metric="service_queue_depth"} 0
        # TYPE service_orders_placed_total counter
        # HELP service_orders_placed_total Orders, "all" \\ of them,\nby venue.
        service_orders_placed_total{venue="",side="sell"} 2
        service_orders_placed_total{venue="other",side="buy"} 1
        service_orders_placed_total{venue="{a=\"b\"} 1 # é",side="buy"} 18446744073709551615
        # TYPE service_queue_depth gauge
        # HELP service_queue_depth Depth.
        service_queue_depth{kind="a"} -0.5
        service_queue_depth{kind="b"} NaN
        service_queue_depth{kind="c"} +Inf
        service_queue_depth{kind="d"} -Inf
        service_queue_depth{kind="e"} 1e300
        service_queue_depth{kind="f"} 3.0
        # TYPE service_worker_busy_seconds_total counter
        # HELP service_worker_busy_seconds_total Busy.
        service_worker_busy_seconds_total 0.25
        # TYPE target_info gauge
        # HELP target_info What OpenTelemetry calls the resource.
        target_info{service_name="service",service_version="0.0.0",deployment_environment_name="development"} 1
    "##]].assert_eq(&rendered(&registry(), Format::Text));
}

#[test]
fn a_sum_that_may_fall_is_left_out() {
    let metrics = metrics(&settings());
    let change = metrics.histogram("price", "change").help("x");
    let change = change.buckets([-1.0, 0.0]).register().unwrap();
    for value in [-2.0, -0.5, 3.0] {
        change.observe(value);
    }
    let text = metrics.render(Format::OpenMetrics);
    let own: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("service_price"))
        .collect();
    expect![[r#"
        service_price_change_bucket{le="-1.0"} 1
        service_price_change_bucket{le="0.0"} 2
        service_price_change_bucket{le="+Inf"} 3"#]]
    .assert_eq(&own.join("\n"));
}

type Labels = Vec<(String, String)>;

/// Reads samples as both formats are specified.
fn samples(text: &str) -> BTreeMap<(String, Labels), f64> {
    let mut samples = BTreeMap::new();
    for line in text.split_terminator('\n') {
        if line.starts_with('#') {
            continue;
        }
        let mut rest = line.chars().peekable();
        let mut name = String::new();
        while let Some(character) = rest.next_if(|next| *next != '{' && *next != ' ') {
            name.push(character);
        }
        let mut labels = Labels::new();
        if rest.next() == Some('{') {
            while rest.next_if_eq(&'}').is_none() {
                rest.next_if_eq(&',');
                let key: String =
                    std::iter::from_fn(|| rest.next_if(|next| *next != '=')).collect();
                assert_eq!((rest.next(), rest.next()), (Some('='), Some('"')), "{line}");
                let mut value = String::new();
                loop {
                    match rest.next().unwrap() {
                        '"' => break,
                        '\\' => value.push(match rest.next().unwrap() {
                            'n' => '\n',
                            escaped => escaped,
                        }),
                        plain => value.push(plain),
                    }
                }
                labels.push((key, value));
            }
            assert_eq!(rest.next(), Some(' '), "{line}");
        }
        let value = rest.take_while(|next| *next != ' ').collect::<String>();
        let value = value.parse().unwrap();
        assert_eq!(samples.insert((name, labels), value), None, "{line}");
    }
    samples
}

fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\n",
        "\\",
        "\"",
        "#",
        " # {",
        "}",
        "{",
        " ",
        "} 1 # {a=\"b\"} 1",
        "\n# EOF\n",
        "\r",
        "\\n",
        "é",
        "=",
        ",",
        "# TYPE ",
        "other",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat()),
        any::<String>(),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Typed {
    a: String,
    b: String,
}

fn labels(a: &str, b: &str) -> Labels {
    vec![
        ("a".to_owned(), a.to_owned()),
        ("b".to_owned(), b.to_owned()),
    ]
}

proptest! {
    #[test]
    fn hostile_labels_keep_their_samples(
        series in prop::collection::vec((hostile(), hostile(), 1..1000_u32), 1..5),
        help in hostile().prop_filter("there is one", |help| !help.trim().is_empty()),
    ) {
        let metrics = metrics(&settings());
        let named = metrics.counter("test", "named").help(&help).label_names(["a", "b"]).unwrap();
        let typed = metrics.counter("test", "typed").help(&help).labels::<Typed>().unwrap();
        let mut expected = BTreeMap::<_, f64>::new();
        for (a, b, amount) in &series {
            named.get([a, b]).inc_by((*amount).into());
            typed.get(&Typed { a: a.clone(), b: b.clone() }).inc_by((*amount).into());
            let is_bounded = |value: &str| value.len() <= 128 && !value.contains(char::is_control);
            let shown = |value| if is_bounded(value) { value } else { "other" };
            let key = ("service_test_named_total", labels(shown(a), shown(b)));
            *expected.entry(key).or_default() += f64::from(*amount);
            let (a, b) = if is_bounded(a) && is_bounded(b) { (&**a, &**b) } else { ("other", "other") };
            let key = ("service_test_typed_total", labels(a, b));
            *expected.entry(key).or_default() += f64::from(*amount);
        }
        for format in FORMATS {
            let text = metrics.render(format);
            let mut samples = samples(&text);
            samples.retain(|(name, _), _| name.starts_with("service_test_"));
            let samples: BTreeMap<_, _> = samples.iter().map(|((name, labels), value)| ((&**name, labels.clone()), *value)).collect();
            prop_assert_eq!(&samples, &expected, "{}", text);
            let help = text.split('\n').filter(|line| line.starts_with("# HELP service_test_")).count();
            prop_assert_eq!(help, 2);
        }
    }
}
