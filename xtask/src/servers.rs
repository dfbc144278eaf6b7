//! The real servers that tests run against.

use std::collections::BTreeSet;

use serde_json::Value;

/// The crate that starts them.
const TESTKIT: &str = "cqi-testkit";

/// The members whose tests need a server: those that test with cqi-testkit, and itself.
pub(crate) fn needed_by(metadata: &Value) -> Vec<String> {
    let members = |id: &Value| {
        metadata["workspace_members"]
            .as_array()
            .is_some_and(|ids| ids.contains(id))
    };
    let packages = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| members(&package["id"]));
    let needing = packages.filter(|package| {
        let mut dependencies = package["dependencies"].as_array().into_iter().flatten();
        package["name"] == TESTKIT
            || dependencies.any(|to| to["name"] == TESTKIT && to["kind"] == "dev")
    });
    let names: BTreeSet<_> = needing
        .filter_map(|package| package["name"].as_str())
        .map(str::to_owned)
        .collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dev_dependency_on_the_testkit_means_a_server() {
        let to_testkit = |kind: &str| json!([{ "name": TESTKIT, "kind": kind }]);
        let metadata = json!({
            "workspace_members": ["1", "2", "3", "4"],
            "packages": [
                { "id": "1", "name": "cqi-db", "dependencies": to_testkit("dev") },
                { "id": "2", "name": "xtask", "dependencies": to_testkit("normal") },
                { "id": "3", "name": TESTKIT, "dependencies": [] },
                { "id": "4", "name": "cqi-errors", "dependencies": [] },
                { "id": "5", "name": "foreign", "dependencies": to_testkit("dev") },
            ],
        });
        assert_eq!(needed_by(&metadata), ["cqi-db", TESTKIT]);
    }
}
