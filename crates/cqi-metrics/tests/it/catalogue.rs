//! The catalogue that is checked in, against what a service serves.

use std::collections::{BTreeMap, BTreeSet};

use cqi_metrics::Format;

use crate::prometheus::used;

const CATALOGUE: &str = include_str!("../../METRICS.md");

/// Reads types and labels of a table, by name.
fn listed(catalogue: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let own = catalogue
        .split("\n## ")
        .find(|section| section.starts_with("cqi-metrics\n"))
        .unwrap();
    let rows = own.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split(" | ").collect();
        let name = cells[0]
            .trim_start_matches("| ")
            .trim_matches('`')
            .replace("{service}", "service");
        let labels = cells[3]
            .split(", ")
            .filter(|label| !label.trim().is_empty());
        let labels = labels
            .map(|label| label.trim().trim_matches('`').to_owned())
            .collect();
        (name, (cells[1].to_owned(), labels))
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn what_is_served_is_listed_and_what_is_listed_is_served() {
    let listed = listed(CATALOGUE);
    let served = used().await.render(Format::Text);
    let types = served
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeMap<_, _> = types.collect();
    let kinds = listed.iter().map(|(name, (kind, _))| {
        // The text format has no info.
        (name.as_str(), if kind == "info" { "gauge" } else { kind })
    });
    assert_eq!(types, kinds.collect());
}

#[tokio::test]
async fn the_labels_that_are_served_are_listed() {
    let listed = listed(CATALOGUE);
    let served = used().await.render(Format::Text);
    let mut seen = 0;
    for line in served.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let names = rest
            .split("=\"")
            .filter_map(|part| part.rsplit(['"', '{', ',']).next());
        let mut labels: BTreeSet<_> = names.map(str::to_owned).collect();
        labels.retain(|label| label != "le" && !label.contains('}'));
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        let (_, expected) = family
            .and_then(|family| listed.get(family))
            .unwrap_or_else(|| &listed[name]);
        assert_eq!(&labels, expected, "{line}");
        seen += 1;
    }
    assert!(seen > 10, "{served}");
}
