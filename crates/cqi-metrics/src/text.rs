//! From OpenMetrics 1.0.0, as it is written here, to Prometheus' text format 0.0.4.

/// Converts a whole exposition, line by line: one pass, and nothing held but the answer.
///
/// A line break in a label or a help text is escaped in both formats, so that lines are lines.
pub(crate) fn convert(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let (mut family, mut help) = (Family::default(), None);
    for line in open_metrics.split('\n') {
        match line.strip_prefix("# ") {
            Some(comment) => {
                if let Some(rest) = comment.strip_prefix("TYPE ") {
                    family = Family::of(rest);
                    text.extend([
                        "# TYPE ",
                        family.name,
                        family.suffix,
                        " ",
                        family.kind,
                        "\n",
                    ]);
                } else if let Some(rest) = comment.strip_prefix("HELP ") {
                    help = rest.split_once(' ');
                }
                // It may stand on either side of the type, which decides on its name.
                if let Some((_, help)) = help.take_if(|(name, _)| *name == family.name) {
                    text.extend(["# HELP ", family.name, family.suffix, " "]);
                    unescape_quotes(&mut text, help);
                    text.push('\n');
                }
                // UNIT and EOF are OpenMetrics' own.
            }
            None if line.is_empty() => {}
            None => {
                text.push_str(without_exemplar(line));
                text.push('\n');
            }
        }
    }
    text
}

/// What the text format says of a metric: it names the samples, OpenMetrics their family.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    suffix: &'static str,
    kind: &'a str,
}

impl<'a> Family<'a> {
    fn of(name_and_kind: &'a str) -> Self {
        let (name, kind) = name_and_kind.split_once(' ').unwrap_or((name_and_kind, ""));
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            _ => ("", kind),
        };
        Self { name, suffix, kind }
    }
}

/// Only OpenMetrics escapes quotes in a help text.
fn unescape_quotes(text: &mut String, help: &str) {
    let mut rest = help;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        // The escape is two characters long, or one where the text ends in a backslash.
        let end = escape
            .char_indices()
            .nth(2)
            .map_or(escape.len(), |(end, _)| end);
        let (escape, after) = escape.split_at(end);
        text.push_str(if escape == "\\\"" { "\"" } else { escape });
        rest = after;
    }
    text.push_str(rest);
}

/// Cuts a sample after its value.
fn without_exemplar(sample: &str) -> &str {
    let value = labels_end(sample);
    // After the labels comes a space, then the value, which holds none.
    match sample[value..]
        .bytes()
        .skip(1)
        .position(|byte| byte == b' ')
    {
        Some(length) => &sample[..value + 1 + length],
        None => sample,
    }
}

/// Finds where the name ends, with the labels if there are any: a value may hold every character.
fn labels_end(sample: &str) -> usize {
    let (mut labels, mut quoted, mut escaped) = (false, false, false);
    for (at, byte) in sample.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' => labels = true,
            b'}' => return at + 1,
            b' ' if !labels => return at,
            _ => {}
        }
    }
    sample.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::{Registry, Unit};
    use proptest::prelude::*;

    use super::*;

    type Labels = Vec<(String, String)>;

    fn encoded(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn every_kind_is_converted() {
        let mut registry = Registry::default();
        let requests = CounterWithExemplar::<Labels>::default();
        requests.inc_by(2, Some(vec![("trace_id".into(), "ab".into())]), None);
        registry.register("requests", "Requests, \\\"all\\\" of them\\n", requests);
        let seconds = HistogramWithExemplars::<Labels>::new([0.5].into_iter());
        seconds.observe(0.1, Some(vec![("trace_id".into(), "# {} 1".into())]), None);
        registry.register_with_unit("duration", "How long", Unit::Seconds, seconds);
        let busy = Counter::<f64, std::sync::atomic::AtomicU64>::default();
        registry.register_with_unit("busy", "How busy", Unit::Seconds, busy);
        registry.register("build", "What runs", Info::new([("version", "1")]));
        let depth = Gauge::<i64>::default();
        depth.set(-3);
        registry.register("depth", "How deep", depth);
        expect![[r##"
            # TYPE requests_total counter
            # HELP requests_total Requests, "all" of them\n.
            requests_total 2
            # TYPE duration_seconds histogram
            # HELP duration_seconds How long.
            duration_seconds_sum 0.1
            duration_seconds_count 1
            duration_seconds_bucket{le="0.5"} 1
            duration_seconds_bucket{le="+Inf"} 1
            # TYPE busy_seconds_total counter
            # HELP busy_seconds_total How busy.
            busy_seconds_total 0.0
            # TYPE build_info gauge
            # HELP build_info What runs.
            build_info{version="1"} 1
            # TYPE depth gauge
            # HELP depth How deep.
            depth -3
        "##]]
        .assert_eq(&convert(&encoded(&registry)));
    }

    #[test]
    fn what_is_no_exposition_does_no_harm() {
        for odd in [
            "",
            "\n\n",
            "# ",
            "# TYPE",
            "# TYPE ",
            "# TYPE a",
            "# HELP a",
            "# HELP a b",
            "a",
            "a{",
            "a{\"",
            "a{b=\"\\",
            "a{} ",
            " ",
            "a  1",
            "é{é=\"é\"} 1 # {é=\"é\"} 1 é",
            "# HELP a \\\n# TYPE a gauge",
        ] {
            convert(odd);
        }
        assert_eq!(
            convert("# HELP a b\n# TYPE other unknown\n"),
            "# TYPE other untyped\n"
        );
        assert_eq!(
            convert("# HELP a \\é\\\\\"\\\n# TYPE a gauge\n"),
            "# TYPE a gauge\n# HELP a \\é\\\\\"\\\n"
        );
        assert_eq!(
            convert("# TYPE a counter\n# HELP b B\n# HELP a \\\"A\\\"\na_total 1\n"),
            "# TYPE a_total counter\n# HELP a_total \"A\"\na_total 1\n"
        );
    }

    /// Reads samples as the text format is specified, by other means than the code above.
    fn samples(text: &str) -> BTreeMap<(String, Labels), f64> {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
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
                                other => other,
                            }),
                            other => value.push(other),
                        }
                    }
                    labels.push((key, value));
                }
                assert_eq!(rest.next(), Some(' '), "{line}");
            }
            let value = rest.collect::<String>().parse().unwrap();
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
        ]);
        prop_oneof![
            prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat()),
            any::<String>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn hostile_labels_keep_their_samples(
            series in prop::collection::btree_map((hostile(), hostile()), any::<u32>(), 1..5),
            exemplar in hostile(),
        ) {
            let mut registry = Registry::default();
            let family = Family::<Labels, Counter>::default();
            let seconds = Family::<Labels, HistogramWithExemplars<Labels>>::new_with_constructor(
                || HistogramWithExemplars::new([1.0].into_iter()),
            );
            let mut expected = BTreeMap::new();
            for ((a, b), value) in &series {
                let labels = vec![("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())];
                family.get_or_create_owned(&labels).inc_by(u64::from(*value));
                let observed = seconds.get_or_create_owned(&labels);
                observed.observe(f64::from(*value), Some(vec![("id".to_owned(), exemplar.clone())]), None);
                expected.insert(("n_total".to_owned(), labels.clone()), f64::from(*value));
                expected.insert(("s_sum".to_owned(), labels.clone()), f64::from(*value));
                expected.insert(("s_count".to_owned(), labels.clone()), 1.0);
                for (le, inside) in [("1.0", *value <= 1), ("+Inf", true)] {
                    let mut bucket = vec![("le".to_owned(), le.to_owned())];
                    bucket.extend(labels.clone());
                    expected.insert(("s_bucket".to_owned(), bucket), f64::from(u8::from(inside)));
                }
            }
            registry.register("n", "Counts", family);
            registry.register("s", "Measures", seconds);
            let text = convert(&encoded(&registry));
            prop_assert_eq!(samples(&text), expected);
            prop_assert_eq!(text.split('\n').filter(|line| line.starts_with('#')).count(), 4);
        }

        #[test]
        fn any_text_does_no_harm(text in any::<String>()) {
            convert(&text);
        }
    }
}
