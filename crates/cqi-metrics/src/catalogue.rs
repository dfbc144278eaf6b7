use std::fmt::Write;

use crate::{Description, Metrics};

impl Metrics {
    /// Lists all metrics in a table of Markdown, for a service's documentation.
    ///
    /// The service's name, which begins the names of most, is written as `{service}`, so that the
    /// table is that of every service with these metrics.
    #[must_use]
    pub fn catalogue(&self) -> String {
        let prefix = format!("{}_", self.namespace());
        let mut table =
            String::from("| Metric | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n");
        for Description {
            name,
            kind,
            unit,
            labels,
            help,
        } in self.describe()
        {
            let name = match name.strip_prefix(&prefix) {
                Some(rest) => format!("{{service}}_{rest}"),
                None => name,
            };
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let row = [
                format!("`{name}`"),
                kind.to_owned(),
                unit.unwrap_or_default().to_owned(),
                labels.join(", "),
                escape(&help),
            ];
            // Writing to a text does not fail.
            let _ = writeln!(table, "| {} |", row.join(" | "));
        }
        table
    }
}

/// Keeps a help text in its cell.
fn escape(help: &str) -> String {
    help.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use cqi_config::{MetricsConfig, ServiceConfig};

    use super::*;
    use crate::Unit;

    #[test]
    fn a_metric_is_a_row() {
        let service = ServiceConfig {
            name: "asset-registry".to_owned(),
            ..ServiceConfig::default()
        };
        let metrics = Metrics::new(&MetricsConfig::default(), &service).unwrap();
        let wait = metrics.histogram("orders", "wait").unit(Unit::Seconds);
        let wait = wait
            .help("Wait,\nfor a | b.")
            .label_names(["venue", "side"]);
        wait.unwrap();
        let catalogue = metrics.catalogue();
        let row = "\n| `{service}_orders_wait_seconds` | histogram | seconds | `venue`, `side` | Wait, for a \\| b. |\n";
        assert!(catalogue.contains(row), "{catalogue}");
        assert!(catalogue.contains("\n| `target_info` | info | "));
        assert!(!catalogue.contains("asset_registry"), "{catalogue}");
    }
}
