//! The allowed arrows, read from the table that people read.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// Where the map is, relative to the root.
pub(super) const FILE: &str = "crates/README.md";

/// The heading over the table; the tables under other headings are for people only.
const HEADING: &str = "## The map";

/// Which crate may depend on which.
#[derive(Debug, PartialEq)]
pub(super) struct Map {
    pub(super) crates: BTreeMap<String, Arrows>,
}

/// The siblings that one crate may depend on.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Arrows {
    pub(super) always: BTreeSet<String>,
    /// Only behind a cargo feature.
    pub(super) optional: BTreeSet<String>,
}

impl Map {
    /// Reads the table of crates: the first column names one, the last its arrows.
    ///
    /// # Errors
    /// When the table is missing, names a crate twice, or draws an arrow to a crate that it does not list.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (_, rest) = text
            .split_once(HEADING)
            .with_context(|| format!("no heading `{HEADING}`"))?;
        let section = rest
            .split_once("\n## ")
            .map_or(rest, |(section, _)| section);
        let mut crates = BTreeMap::new();
        // The first two rows are the table's head and its rule.
        for row in section.lines().filter(|line| line.starts_with('|')).skip(2) {
            let cells: Vec<_> = row
                .trim()
                .trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect();
            let [first, .., last] = cells.as_slice() else {
                bail!("a row needs a crate and its arrows: {row}")
            };
            let name = first
                .split('`')
                .nth(1)
                .with_context(|| format!("no `crate` in the first cell: {row}"))?;
            let arrows = Arrows::parse(last).with_context(|| format!("the arrows of {name}"))?;
            ensure!(
                crates.insert(name.to_owned(), arrows).is_none(),
                "{name} is listed twice"
            );
        }
        ensure!(!crates.is_empty(), "no table under `{HEADING}`");
        for (name, arrows) in &crates {
            for to in arrows.always.union(&arrows.optional) {
                ensure!(
                    crates.contains_key(to),
                    "{name} points to {to}, which is not listed"
                );
            }
        }
        Ok(Self { crates })
    }
}

impl Arrows {
    /// Reads `errors, config; optional retry`, or `—` for none.
    fn parse(cell: &str) -> Result<Self> {
        let mut arrows = Self::default();
        for part in cell
            .split(';')
            .map(str::trim)
            .filter(|part| !matches!(*part, "" | "—" | "-"))
        {
            let (names, into) = match part.strip_prefix("optional ") {
                Some(names) => (names, &mut arrows.optional),
                None => (part, &mut arrows.always),
            };
            for name in names.split(',').map(str::trim) {
                ensure!(
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                    "`{name}` is no crate's name; write `errors, config; optional retry`, or `—` for none"
                );
                into.insert(if name.starts_with("cqi") {
                    name.to_owned()
                } else {
                    format!("cqi-{name}")
                });
            }
        }
        Ok(arrows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "# Crates\n\n## The map\n\nWords.\n\n| crate | what | may depend on |\n|---|---|---|\n";

    fn parse(rows: &str) -> Result<Map> {
        Map::parse(&format!(
            "{HEAD}{rows}\n## Not there yet\n\n| a | b |\n|---|---|\n| `cqi-bus` | errors |\n"
        ))
    }

    #[test]
    fn rows_become_arrows() {
        let map = parse(
            "| [`cqi-errors`](cqi-errors) | x | — |\n| `cqi-retry` | x | errors |\n\
             | `cqi-db` | x | errors; optional retry |\n",
        )
        .unwrap();
        assert_eq!(map.crates.len(), 3);
        assert_eq!(map.crates["cqi-errors"], Arrows::default());
        let db = &map.crates["cqi-db"];
        assert!(db.always.contains("cqi-errors") && db.optional.contains("cqi-retry"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |rows| format!("{:#}", parse(rows).unwrap_err());
        assert_eq!(
            wrong("| `cqi-db` | x | errors |\n"),
            "cqi-db points to cqi-errors, which is not listed"
        );
        assert_eq!(
            wrong("| `a` | x | — |\n| `a` | x | — |\n"),
            "a is listed twice"
        );
        assert!(wrong("| db | x | — |\n").starts_with("no `crate` in the first cell"));
        assert!(
            wrong("| `a` | x | Errors & more |\n")
                .starts_with("the arrows of a: `Errors & more` is no crate's name")
        );
        assert_eq!(wrong(""), "no table under `## The map`");
        assert_eq!(
            format!("{:#}", Map::parse("# Crates").unwrap_err()),
            "no heading `## The map`"
        );
    }
}
