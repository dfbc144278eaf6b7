//! What every member's manifest says the same way.

use super::Member;

/// The keys of `[package]` that the root decides for all.
const INHERITED: [&str; 4] = ["version", "edition", "license", "rust-version"];

/// What is out of shape in one member, as one line each.
pub(super) fn check(member: &Member) -> Vec<String> {
    let manifest = member.manifest_path();
    let mut problems = Vec::new();
    for key in INHERITED {
        if !inherits(&member.manifest, &["package", key]) {
            problems.push(format!(
                "{manifest}: write `{key}.workspace = true` in [package]"
            ));
        }
    }
    if !inherits(&member.manifest, &["lints"]) {
        problems.push(format!("{manifest}: write `workspace = true` in [lints]"));
    }
    if member.folder.components().count() > 1 && !member.folder.ends_with(&member.name) {
        problems.push(format!(
            "{manifest}: the package is {}; name it as its folder",
            member.name
        ));
    }
    if member.is_mapped() && !member.has_readme {
        problems.push(format!(
            "{}: add a README.md, the crate's front page",
            member.folder.display()
        ));
    }
    if member.is_mapped() && !member.has_license {
        let folder = member.folder.display();
        problems.push(format!(
            "{folder}: each package carries the licence; `ln -s ../../LICENSE {folder}/LICENSE`"
        ));
    }
    problems
}

fn inherits(manifest: &toml::Table, path: &[&str]) -> bool {
    let table = path
        .iter()
        .try_fold(manifest, |table, key| table.get(*key)?.as_table());
    table
        .and_then(|table| table.get("workspace"))
        .and_then(toml::Value::as_bool)
        == Some(true)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::tests::member;
    use super::*;

    #[test]
    fn a_member_in_shape_passes() {
        assert_eq!(check(&member("cqi-db")), Vec::<String>::new());
        let mut tests = member("cqi-tests");
        tests.folder = PathBuf::from("tests");
        tests.has_readme = false;
        assert_eq!(check(&tests), Vec::<String>::new());
    }

    #[test]
    fn a_literal_value_fails() {
        for key in INHERITED {
            let mut db = member("cqi-db");
            db.manifest["package"]
                .as_table_mut()
                .unwrap()
                .insert(key.to_owned(), "1".into());
            assert_eq!(
                check(&db),
                [format!(
                    "crates/cqi-db/Cargo.toml: write `{key}.workspace = true` in [package]"
                )]
            );
        }
    }

    #[test]
    fn forgotten_lints_fail() {
        let mut db = member("cqi-db");
        db.manifest.remove("lints");
        assert_eq!(
            check(&db),
            ["crates/cqi-db/Cargo.toml: write `workspace = true` in [lints]"]
        );
    }

    #[test]
    fn a_crate_without_front_page_licence_or_the_name_of_its_folder_fails() {
        let mut db = member("cqi-db");
        db.has_readme = false;
        db.has_license = false;
        db.folder = PathBuf::from("crates/database");
        assert_eq!(
            check(&db),
            [
                "crates/database/Cargo.toml: the package is cqi-db; name it as its folder",
                "crates/database: add a README.md, the crate's front page",
                "crates/database: each package carries the licence; `ln -s ../../LICENSE crates/database/LICENSE`",
            ]
        );
    }
}
