//! Enums that are flattened into a section.

use std::time::Duration;

use cqi_config::{HumanDuration, Secret};
use expect_test::expect;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Files;

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(default)]
#[garde(allow_unvalidated)]
struct Settings {
    store: Store,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct Store {
    retries: u8,
    #[serde(flatten)]
    driver: Driver,
    #[serde(flatten)]
    codec: Codec,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            retries: 3,
            driver: Driver::Memory { limit: 10 },
            codec: Codec::Plain,
        }
    }
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "driver", rename_all = "kebab-case")]
enum Driver {
    Memory {
        limit: u8,
    },
    File {
        path: String,
        limit: u32,
        #[serde(with = "HumanDuration")]
        sync: Duration,
    },
    Remote(Remote),
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Remote {
    host: String,
    password: Secret,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "codec", rename_all = "kebab-case")]
enum Codec {
    Plain,
    Sealed { key: Secret },
}

#[test]
fn fields_of_each_variant_are_read() {
    let files = Files::new("store: {driver: file, path: 012, sync: 5s, limit: 1000}");
    let settings: Settings = files.loader().load().unwrap();
    match settings.store.driver {
        Driver::File { path, limit, sync } => {
            assert_eq!(
                (path.as_str(), limit, sync),
                ("012", 1000, Duration::from_secs(5))
            );
        }
        other => panic!("{other:?}"),
    }
    let key = files.add("key", "swordfish\n");
    let files = Files::new("store: {driver: remote, host: h, codec: sealed}");
    let loader = files.loader::<Settings>().env([
        ("CQI_STORE_HOST", "db"),
        ("CQI_STORE_PASSWORD", "012"),
        ("CQI_STORE_KEY_FILE", key.as_str()),
    ]);
    let (settings, origins) = loader.load_with_origins().unwrap();
    match (&settings.store.driver, &settings.store.codec) {
        (Driver::Remote(remote), Codec::Sealed { key }) => {
            assert_eq!((remote.host.as_str(), key.expose()), ("db", "swordfish"));
            assert_eq!(remote.password.expose(), "012");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(origins.get("store.key").unwrap().value, "\"[redacted]\"");
    assert_eq!(origins.get("store.host").unwrap().value, "\"db\"");
}

#[test]
fn misspelled_fields_of_variants_are_reported() {
    let files = Files::new(
        "store:
  driver: remot
  hots: h
  password: [sw0rd]
  limit: -1
  sync: 5
",
    );
    let loader = files
        .loader::<Settings>()
        .env([("CQI_STORE_PASWORD", "sw0rd")]);
    expect![[r#"
        the settings have 6 problems:
          config.yaml:2: store.driver = "remot": unknown value; expected one of memory, file, remote; did you mean remote?
          config.yaml:3: store.hots: unknown key; did you mean host?
          config.yaml:4: store.password: is a list; expected a secret text
          config.yaml:5: store.limit = -1: out of range; expected an integer from 0 to 4294967295
          config.yaml:6: store.sync = 5: has no unit; expected a duration such as 500ms, 30s, 5m or 1h 30m; did you mean 5s?
          CQI_STORE_PASWORD: unknown variable; did you mean CQI_STORE_PASSWORD?"#]].assert_eq(&files.problems(loader));
}

#[test]
fn a_flattened_enum_may_be_absent() {
    #[derive(Debug, Default, Deserialize, Serialize, JsonSchema, Validate)]
    #[serde(default)]
    #[garde(allow_unvalidated)]
    struct Maybe {
        retries: u8,
        #[serde(flatten)]
        driver: Option<Driver>,
    }
    let load = |config: &str| Files::new(config).loader::<Maybe>().load();
    assert!(load("retries: 1").unwrap().driver.is_none());
    let memory = load("{driver: memory, limit: 1}").unwrap().driver;
    assert!(matches!(memory, Some(Driver::Memory { limit: 1 })));
    let error = format!("{:#}", load("{driver: memory, limti: 1}").unwrap_err());
    assert!(
        error.contains("limti: unknown key; did you mean limit?"),
        "{error}"
    );
}

#[test]
fn a_schema_closes_a_section_with_its_variants() {
    let schema = cqi_config::schema::<Settings>();
    let store = &schema["$defs"]["Store"];
    assert_eq!(store["unevaluatedProperties"], false);
    assert!(
        !store.to_string().contains("additionalProperties"),
        "{store:#}"
    );
    let remote = &schema["$defs"]["Remote"];
    assert!(
        !remote.to_string().contains("additionalProperties"),
        "{remote:#}"
    );
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_sample_leaves_out_what_other_variants_have() {
    let sample = cqi_config::sample::<Settings>();
    expect![[r#"
        store:
          retries: 3
          # One of memory, file, remote.
          driver: memory
          limit: 10
          # path:
          # sync:
          # host:
          # password:
          # One of plain, sealed.
          codec: plain
          # key:
    "#]]
    .assert_eq(&sample);
    let settings: Settings = Files::new(&sample).loader().load().unwrap();
    assert!(matches!(
        settings.store.driver,
        Driver::Memory { limit: 10 }
    ));
    assert!(matches!(settings.store.codec, Codec::Plain));
}
