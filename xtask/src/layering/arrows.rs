//! A crate depends on the siblings that the map allows, and on no other.

use super::map::{self, Arrows, Map};
use super::{Dependency, Member};

/// Every departure from the map, as one line each.
pub(super) fn check(members: &[Member], map: &Map) -> Vec<String> {
    let mapped = || members.iter().filter(|member| member.is_mapped());
    let mut problems = Vec::new();
    for member in mapped() {
        match map.crates.get(&member.name) {
            Some(arrows) => {
                problems
                    .extend(siblings(member, members).filter_map(|to| breach(member, to, arrows)));
            }
            None => problems.push(format!(
                "{}: no row for {}; add it with its arrows",
                map::FILE,
                member.name
            )),
        }
    }
    // Unpublished members too: `cargo package --workspace` packs them with the rest.
    for member in members {
        problems.extend(
            siblings(member, members)
                .filter(|to| !to.dev && !to.has_version)
                .map(|to| {
                    format!(
                        "{}: {} has no version, which a package needs",
                        member.manifest_path(),
                        to.name
                    )
                }),
        );
    }
    for name in map.crates.keys() {
        if !mapped().any(|member| member.name == *name) {
            problems.push(format!(
                "{}: {name} is listed but is not in the workspace; remove its row",
                map::FILE
            ));
        }
    }
    problems
}

fn siblings<'a>(member: &'a Member, members: &'a [Member]) -> impl Iterator<Item = &'a Dependency> {
    member
        .dependencies
        .iter()
        .filter(move |to| members.iter().any(|sibling| sibling.name == to.name))
}

fn breach(member: &Member, to: &Dependency, arrows: &Arrows) -> Option<String> {
    let from = member.manifest_path();
    let name = &to.name;
    if to.dev {
        // A version here would make publishing a circle: each crate would wait for the other.
        return to.has_version.then(|| {
            format!("{from}: the dev-dependency on {name} has a version; write `{name} = {{ path = \"../{name}\" }}`")
        });
    }
    if arrows.always.contains(name) || (to.optional && arrows.optional.contains(name)) {
        return None;
    }
    if arrows.optional.contains(name) {
        return Some(format!(
            "{from}: {name} is allowed only behind a feature; make it `optional = true`"
        ));
    }
    let allowed: Vec<_> = arrows
        .always
        .union(&arrows.optional)
        .map(String::as_str)
        .collect();
    let allowed = if allowed.is_empty() {
        "no sibling".to_owned()
    } else {
        allowed.join(", ")
    };
    Some(format!(
        "{from}: depends on {name}; {} allows {allowed}",
        map::FILE
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{dependency, member};
    use super::*;

    fn map() -> Map {
        Map::parse(
            "## The map\n| crate | arrows |\n|---|---|\n| `cqi-errors` | — |\n| `cqi-retry` | errors |\n\
             | `cqi-db` | errors; optional retry |\n",
        )
        .unwrap()
    }

    /// The problems when cqi-db has these dependencies.
    fn with(dependencies: Vec<Dependency>) -> Vec<String> {
        let mut db = member("cqi-db");
        db.dependencies = dependencies;
        check(&[member("cqi-errors"), member("cqi-retry"), db], &map())
    }

    #[test]
    fn allowed_arrows_pass() {
        let optional = Dependency {
            optional: true,
            ..dependency("cqi-retry")
        };
        let dev = Dependency {
            dev: true,
            has_version: false,
            ..dependency("cqi-retry")
        };
        assert_eq!(
            with(vec![
                dependency("cqi-errors"),
                dependency("tokio"),
                optional,
                dev
            ]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn another_arrow_fails() {
        let mut errors = member("cqi-errors");
        errors.dependencies = vec![dependency("cqi-db")];
        let problems = check(&[errors, member("cqi-retry"), member("cqi-db")], &map());
        assert_eq!(
            problems,
            ["crates/cqi-errors/Cargo.toml: depends on cqi-db; crates/README.md allows no sibling"]
        );
    }

    #[test]
    fn an_optional_arrow_needs_a_feature() {
        let problems = with(vec![dependency("cqi-retry")]);
        assert_eq!(
            problems,
            [
                "crates/cqi-db/Cargo.toml: cqi-retry is allowed only behind a feature; make it `optional = true`"
            ]
        );
    }

    #[test]
    fn a_dev_dependency_on_a_sibling_has_no_version() {
        let problems = with(vec![Dependency {
            dev: true,
            ..dependency("cqi-retry")
        }]);
        assert_eq!(
            problems,
            [
                "crates/cqi-db/Cargo.toml: the dev-dependency on cqi-retry has a version; \
             write `cqi-retry = { path = \"../cqi-retry\" }`"
            ]
        );
    }

    #[test]
    fn any_other_dependency_on_a_sibling_has_a_version() {
        let problems = with(vec![Dependency {
            has_version: false,
            ..dependency("cqi-errors")
        }]);
        assert_eq!(
            problems,
            ["crates/cqi-db/Cargo.toml: cqi-errors has no version, which a package needs"]
        );
    }

    #[test]
    fn the_map_and_the_workspace_list_the_same_crates() {
        let problems = check(
            &[member("cqi-errors"), member("cqi-db"), member("cqi-new")],
            &map(),
        );
        assert_eq!(
            problems,
            [
                "crates/README.md: no row for cqi-new; add it with its arrows",
                "crates/README.md: cqi-retry is listed but is not in the workspace; remove its row",
            ]
        );
    }
}
