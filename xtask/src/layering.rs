//! Keeps the workspace in the shape that `crates/README.md` draws.

mod arrows;
mod floor;
mod manifest;
mod map;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

/// One member of the workspace, with what the rules look at.
#[derive(Debug)]
struct Member {
    name: String,
    /// Relative to the root, for example `crates/cqi-db`.
    folder: PathBuf,
    manifest: toml::Table,
    has_readme: bool,
    has_license: bool,
    dependencies: Vec<Dependency>,
}

impl Member {
    /// Whether the map has to name it.
    fn is_mapped(&self) -> bool {
        self.folder.starts_with("crates")
    }

    fn manifest_path(&self) -> String {
        self.folder.join("Cargo.toml").display().to_string()
    }
}

/// One line of a member's `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
#[derive(Debug, Clone)]
struct Dependency {
    name: String,
    dev: bool,
    optional: bool,
    has_version: bool,
}

/// Checks everything and names every violation at once.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let metadata = workspace::metadata()?;
    let members = members(&metadata)?;
    let map = fs::read_to_string(root.join(map::FILE))
        .with_context(|| format!("cannot read {}", map::FILE))?;
    let root_manifest =
        fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;

    let mut problems = Vec::new();
    match map::Map::parse(&map) {
        Ok(map) => problems.extend(arrows::check(&members, &map)),
        Err(error) => problems.push(format!("{}: {error:#}", map::FILE)),
    }
    problems.extend(members.iter().flat_map(manifest::check));
    problems.extend(floor::check(
        &metadata,
        &root_manifest.parse().context("cannot read Cargo.toml")?,
    )?);

    if problems.is_empty() {
        println!("layering: {} members keep to the map", members.len());
        return Ok(());
    }
    bail!(
        "layering: {} problems\n  {}",
        problems.len(),
        problems.join("\n  ")
    );
}

/// The members that `cargo metadata` lists, with their manifests as written.
fn members(metadata: &Value) -> Result<Vec<Member>> {
    let root = workspace::root();
    let ids = list(metadata, "workspace_members");
    let packages = list(metadata, "packages")
        .iter()
        .filter(|package| ids.contains(&package["id"]));
    packages
        .map(|package| {
            let manifest = PathBuf::from(text(package, "manifest_path"));
            let folder = manifest.parent().unwrap_or(&root);
            let source = fs::read_to_string(&manifest)
                .with_context(|| format!("cannot read {}", manifest.display()))?;
            Ok(Member {
                name: text(package, "name").to_owned(),
                has_readme: folder.join("README.md").is_file(),
                has_license: folder.join("LICENSE").is_file(),
                manifest: source
                    .parse()
                    .with_context(|| format!("cannot read {}", manifest.display()))?,
                folder: folder.strip_prefix(&root).unwrap_or(folder).to_path_buf(),
                dependencies: list(package, "dependencies")
                    .iter()
                    .map(Dependency::from_metadata)
                    .collect(),
            })
        })
        .collect()
}

impl Dependency {
    fn from_metadata(value: &Value) -> Self {
        Self {
            name: text(value, "name").to_owned(),
            dev: text(value, "kind") == "dev",
            optional: value["optional"] == true,
            has_version: text(value, "req") != "*",
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member that keeps every rule, for tests to break.
    pub(super) fn member(name: &str) -> Member {
        Member {
            name: name.to_owned(),
            folder: PathBuf::from("crates").join(name),
            manifest: "[package]\nversion.workspace = true\nedition.workspace = true\nlicense.workspace = true\n\
                 rust-version.workspace = true\n[lints]\nworkspace = true\n"
                .parse()
                .unwrap(),
            has_readme: true,
            has_license: true,
            dependencies: Vec::new(),
        }
    }

    pub(super) fn dependency(name: &str) -> Dependency {
        Dependency {
            name: name.to_owned(),
            dev: false,
            optional: false,
            has_version: true,
        }
    }

    #[test]
    fn a_dependency_is_read_as_cargo_prints_it() {
        let value =
            serde_json::json!({ "name": "cqi-log", "kind": "dev", "optional": false, "req": "*" });
        let dependency = Dependency::from_metadata(&value);
        assert!(dependency.dev && !dependency.optional && !dependency.has_version);
        let value = serde_json::json!({ "name": "cqi-log", "kind": null, "optional": true, "req": "^0.1.0" });
        let dependency = Dependency::from_metadata(&value);
        assert!(!dependency.dev && dependency.optional && dependency.has_version);
    }

    #[test]
    fn this_workspace_has_members() {
        let metadata = workspace::metadata().unwrap();
        let members = members(&metadata).unwrap();
        assert!(
            members
                .iter()
                .any(|member| member.name == "cqi-errors" && member.is_mapped())
        );
        assert!(
            members
                .iter()
                .any(|member| member.name == "xtask" && !member.is_mapped())
        );
    }
}
