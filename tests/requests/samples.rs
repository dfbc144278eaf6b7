//! Reads the text that a scraper gets, strictly.

use std::collections::BTreeMap;

pub(crate) type Labels = BTreeMap<String, String>;

/// One line of a metric.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    /// The labels of the exemplar, if there is one.
    pub(crate) exemplar: Option<Labels>,
}

/// All lines of all metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub(crate) Vec<Sample>);

impl Samples {
    /// Parses either format.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.map(sample).collect())
    }

    /// Returns the samples of a name that have all of the labels.
    pub(crate) fn of<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            let has = |(label, value): &(&str, &str)| {
                sample
                    .labels
                    .get(*label)
                    .is_some_and(|found| found == value)
            };
            sample.name == name && labels.iter().all(has)
        })
    }

    /// Adds up the samples of a name that have all of the labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Sample {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
    let (found, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (Labels::new(), rest),
    };
    let (value, exemplar) = match rest.split_once(" # {") {
        Some((value, exemplar)) => (value, Some(labels(exemplar).0)),
        None => (rest, None),
    };
    Sample {
        name: name.to_owned(),
        labels: found,
        value: value.split_whitespace().next().unwrap().parse().unwrap(),
        exemplar,
    }
}

/// Parses labels up to the closing brace, and returns what follows.
fn labels(mut rest: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return (labels, rest);
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let (name, quoted) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (end, '"') => break end,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "{name} twice"
        );
        rest = &quoted[end + 1..];
    }
}

#[test]
fn a_line_is_read_with_its_labels_and_exemplar() {
    let text = r#"# HELP a b
a_total{x="1 # {\"\n",y="}"} 2.5 # {trace_id="ab"} 0.1
b 3
"#;
    let samples = Samples::parse(text);
    let a = samples.of("a_total", &[("y", "}")]).next().unwrap();
    assert_eq!((a.labels["x"].as_str(), a.value), ("1 # {\"\n", 2.5));
    assert_eq!(a.exemplar.as_ref().unwrap()["trace_id"], "ab");
    assert_eq!(samples.sum("b", &[]), 3.0);
}
