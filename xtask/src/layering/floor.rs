//! `rust-version` is the true floor: what the dependencies need, no less and no more.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{list, text};

type Version = (u32, u32, u32);

/// Compares the workspace's `rust-version` with the greatest one that the crates under `crates/` pull in.
///
/// # Errors
/// When a version cannot be read.
pub(super) fn check(metadata: &Value, root_manifest: &toml::Table) -> Result<Vec<String>> {
    let declared = root_manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("package")?.get("rust-version")?.as_str())
        .context("Cargo.toml has no `rust-version` in [workspace.package]")?;
    let Some((needed, by)) = greatest(metadata)? else {
        return Ok(Vec::new());
    };
    if parse(declared)? == needed {
        return Ok(Vec::new());
    }
    let floor = match needed {
        (major, minor, 0) => format!("{major}.{minor}"),
        (major, minor, patch) => format!("{major}.{minor}.{patch}"),
    };
    Ok(vec![format!(
        "Cargo.toml: rust-version is {declared}, but the dependencies' floor is {floor} ({by}); write {floor}"
    )])
}

/// The greatest `rust-version` among the dependencies of our published crates, dev-dependencies left out.
fn greatest(metadata: &Value) -> Result<Option<(Version, String)>> {
    let packages: BTreeMap<_, _> = list(metadata, "packages")
        .iter()
        .map(|package| (text(package, "id"), package))
        .collect();
    let nodes: BTreeMap<_, _> = list(&metadata["resolve"], "nodes")
        .iter()
        .map(|node| (text(node, "id"), node))
        .collect();
    let members: BTreeSet<_> = list(metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();

    let published = |id: &&str| {
        packages
            .get(id)
            .is_some_and(|package| package["publish"] != serde_json::json!([]))
    };
    let mut open: Vec<&str> = members.iter().copied().filter(published).collect();
    let mut seen: BTreeSet<_> = open.iter().copied().collect();
    let mut greatest = None;
    while let Some(id) = open.pop() {
        let package = packages
            .get(id)
            .with_context(|| format!("`cargo metadata` does not describe {id}"))?;
        if let Some(version) = package["rust_version"]
            .as_str()
            .filter(|_| !members.contains(id))
        {
            greatest = greatest.max(Some((
                parse(version)?,
                format!("{} {}", text(package, "name"), text(package, "version")),
            )));
        }
        for edge in nodes
            .get(id)
            .map(|node| list(node, "deps"))
            .unwrap_or_default()
        {
            let needed = list(edge, "dep_kinds")
                .iter()
                .any(|kind| text(kind, "kind") != "dev");
            if needed && seen.insert(text(edge, "pkg")) {
                open.push(text(edge, "pkg"));
            }
        }
    }
    Ok(greatest)
}

fn parse(version: &str) -> Result<Version> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let mut next = || parts.next().unwrap_or(Some(0));
    let parsed = (|| Some((next()?, next()?, next()?)))();
    parsed.with_context(|| format!("`{version}` is no rust-version"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// cqi-db needs `low`, which needs `high` as `kind` says; xtask, unpublished, needs `higher`.
    fn metadata(kind: Option<&str>) -> Value {
        let edge =
            |to: &str, kind: Option<&str>| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] });
        let package = |name: &str, rust: Option<&str>, publish: Value| json!({ "id": name, "name": name, "version": "1.0.0", "rust_version": rust, "publish": publish });
        json!({
            "workspace_members": ["cqi-db", "xtask"],
            "packages": [
                package("cqi-db", Some("1.99"), Value::Null), package("xtask", Some("1.99"), json!([])),
                package("low", Some("1.70.1"), Value::Null), package("high", Some("1.90"), Value::Null),
                package("higher", Some("1.95"), Value::Null), package("old", None, Value::Null),
            ],
            "resolve": { "nodes": [
                { "id": "cqi-db", "deps": [edge("low", None), edge("old", None)] },
                { "id": "low", "deps": [edge("high", kind)] },
                { "id": "xtask", "deps": [edge("higher", None)] },
            ]},
        })
    }

    fn problems(metadata: &Value, declared: &str) -> Vec<String> {
        let manifest = format!("[workspace.package]\nrust-version = \"{declared}\"\n")
            .parse()
            .unwrap();
        check(metadata, &manifest).unwrap()
    }

    #[test]
    fn the_true_floor_passes() {
        assert_eq!(problems(&metadata(None), "1.90"), Vec::<String>::new());
        assert_eq!(
            problems(&metadata(Some("build")), "1.90.0"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_floor_too_low_or_too_high_fails() {
        for declared in ["1.89", "1.91"] {
            assert_eq!(
                problems(&metadata(None), declared),
                [format!(
                    "Cargo.toml: rust-version is {declared}, but the dependencies' floor is 1.90 (high 1.0.0); write 1.90"
                )]
            );
        }
    }

    #[test]
    fn a_dev_dependency_does_not_raise_the_floor() {
        assert_eq!(
            problems(&metadata(Some("dev")), "1.70.1"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_unreadable_version_is_named() {
        assert_eq!(
            parse("1.x").unwrap_err().to_string(),
            "`1.x` is no rust-version"
        );
    }
}
