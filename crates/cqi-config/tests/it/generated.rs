//! What tools make of the structs.

use cqi_config::{Config, sample, schema, schema_json};
use serde_json::{Value, json};

const STALE: &str = "run cargo xtask codegen";

#[test]
fn the_checked_in_files_are_current() {
    let read =
        |name: &str| std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR")));
    assert!(
        read("schema.json").is_ok_and(|text| text == schema_json::<Config>()),
        "schema.json: {STALE}"
    );
    assert!(
        read("sample.yaml").is_ok_and(|text| text == sample::<Config>()),
        "sample.yaml: {STALE}"
    );
}

#[test]
fn the_sample_loads_and_equals_the_defaults() {
    let config = crate::loaded(&sample::<Config>());
    assert_eq!(json!(config), json!(Config::default()));
}

#[test]
fn the_schema_describes_and_closes_everything() {
    let schema = schema::<Config>();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["description"],
        "The settings of a service, one section for each part of CQI."
    );
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        if definition["type"] == "object" {
            assert_eq!(definition["additionalProperties"], false, "{name}");
            for (key, field) in definition["properties"].as_object().unwrap() {
                assert!(field["description"].is_string(), "{name}.{key}");
            }
        }
    }
    let password = &schema["$defs"]["DatabaseConfig"]["properties"]["password"];
    assert_eq!(
        (&password["writeOnly"], &password["default"]),
        (&json!(true), &json!(""))
    );
    assert_eq!(
        schema["properties"]["database"].get("default"),
        None::<&Value>
    );
}
