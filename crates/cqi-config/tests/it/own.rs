//! A service with settings of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use cqi_config::{Config, HumanDuration, HumanSize, Secret};
use expect_test::expect;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Files;

#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(default)]
struct Settings {
    #[serde(flatten)]
    #[garde(dive)]
    base: Config,
    /// How assets are priced.
    #[garde(dive)]
    pricing: Pricing,
    /// Where a replica is, if there is one.
    #[garde(dive)]
    replica: Option<Replica>,
}

impl Default for Settings {
    fn default() -> Self {
        let mut base = Config::default();
        base.service.name = "pricing".to_owned();
        base.server.http_port = 7000;
        Self {
            base,
            pricing: Pricing::default(),
            replica: None,
        }
    }
}

#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(default, rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
struct Pricing {
    /// The exchange to ask; it must be given.
    #[garde(length(min = 1))]
    exchange_url: String,
    #[garde(range(min = -5, max = 5))]
    skew: i8,
    #[serde(with = "HumanDuration")]
    max_age: Duration,
    #[serde(with = "HumanSize")]
    buffer: u64,
    api_token: Secret,
    /// Weights by venue.
    weights: BTreeMap<String, f64>,
    venues: Vec<Venue>,
    source: Source,
    level: Level,
    anything: serde_json::Value,
}

impl Default for Pricing {
    fn default() -> Self {
        Self {
            exchange_url: String::new(),
            skew: 0,
            max_age: Duration::from_secs(2),
            buffer: 1024,
            api_token: Secret::default(),
            weights: BTreeMap::new(),
            venues: Vec::new(),
            source: Source::default(),
            level: Level(1),
            anything: serde_json::Value::Null,
        }
    }
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Venue {
    name: String,
    key: Secret,
    #[serde(default)]
    within: Vec<Self>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Source {
    #[default]
    Live,
    Login {
        user: String,
        password: Secret,
    },
}

#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
struct Replica {
    host: String,
    password: Secret,
    #[garde(range(min = 1))]
    port: Option<u16>,
}

/// A type whose rule only serde knows.
#[derive(Debug, Serialize, JsonSchema)]
struct Level(u8);

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            level @ 0..=9 => Ok(Self(level)),
            _ => Err(serde::de::Error::custom("a level has one digit")),
        }
    }
}

fn load(config: &str) -> Settings {
    Files::new(config).loader().load().unwrap()
}

#[test]
fn own_sections_and_changed_defaults() {
    let settings = load("pricing: {exchange-url: x}\nserver: {grpc_port: 1}");
    assert_eq!(settings.base.service.name, "pricing");
    assert_eq!(
        (
            settings.base.server.http_port,
            settings.base.server.grpc_port
        ),
        (7000, 1)
    );
    assert_eq!(settings.pricing.max_age, Duration::from_secs(2));
    assert!(settings.replica.is_none());

    let settings = load(
        "pricing:\n  exchange-url: x\n  skew: -5\n  max-age: 1m\n  buffer: 2KiB\n  api-token: 5\n  weights: {a: 1, b: 0.5}\n\
         \x20 venues: [{name: a, key: k, within: [{name: b, key: l}]}]\n  source: {login: {user: u, password: p}}\n\
         \x20 anything: {a: [1, -2, 1.5, true, null, \"x\", 12345678901234567890]}\n\
         replica: {host: h, password: p}",
    );
    assert_eq!((settings.pricing.skew, settings.pricing.buffer), (-5, 2048));
    assert_eq!(settings.pricing.api_token.expose(), "5");
    assert_eq!(settings.pricing.weights["b"], 0.5);
    assert_eq!(settings.pricing.venues[0].within[0].key.expose(), "l");
    assert!(
        matches!(&settings.pricing.source, Source::Login { user, password } if user == "u" && password.expose() == "p")
    );
    assert_eq!(settings.pricing.anything["a"][4], serde_json::Value::Null);
    assert_eq!(settings.pricing.anything["a"][6], 12345678901234567890_u64);
    assert_eq!(settings.replica.unwrap().password.expose(), "p");
}

#[test]
fn own_settings_have_variables_too() {
    let files = Files::new("replica: {host: a, password: b}");
    let key = files.add("key", "swordfish\n");
    let settings: Settings = files
        .loader()
        .env([
            ("CQI_PRICING_EXCHANGE_URL", "http://x"),
            ("CQI_PRICING_API_TOKEN_FILE", key.as_str()),
            ("CQI_REPLICA_PORT", "5"),
            ("CQI_REPLICA_PASSWORD", "c"),
            ("CQI_PRICING_WEIGHTS", r#"{"a": 2}"#),
            ("CQI_PRICING_ANYTHING", "7"),
            ("CQI_SERVICE_NAME", "own"),
        ])
        .load()
        .unwrap();
    assert_eq!(settings.pricing.api_token.expose(), "swordfish");
    assert_eq!(settings.pricing.anything, 7);
    assert_eq!(settings.base.service.name, "own");
    let replica = settings.replica.unwrap();
    assert_eq!((replica.port, replica.password.expose()), (Some(5), "c"));
}

#[test]
fn own_mistakes_are_reported_like_any() {
    let files = Files::new(
        "pricing:
  skew: 6
  maxage: 1s
  weights: {a: x}
  venues:
    - name: a
    - {name: [b], key: 1, kee: 2}
  level: 10
  source: nowhere
replica:
  host: a
databse: {}
server:
  http_port: x
database:
  min_connections: 11
",
    );
    expect![[r#"
        the settings have 13 problems:
          config.yaml:2: pricing.skew = 6: out of range; expected an integer from -5 to 5
          config.yaml:3: pricing.maxage: unknown key; did you mean max-age?
          config.yaml:4: pricing.weights.a = "x": not a number; expected a number
          config.yaml:6: pricing.venues[0].key: is missing; expected a secret text
          config.yaml:7: pricing.venues[1].name: is a list; expected a text
          config.yaml:7: pricing.venues[1].kee: unknown key; did you mean key?
          config.yaml:8: pricing.level = 10: a level has one digit
          config.yaml:9: pricing.source: unknown value; expected one of live, login
          config.yaml:10: replica.password: is missing; expected a secret text
          config.yaml:12: databse: unknown key; did you mean database?
          config.yaml:14: server.http_port = "x": not an integer; expected an integer from 0 to 65535
          config.yaml:16: database.min_connections = 11: must be at most max_connections, 10
          default: pricing.exchange-url = "": length is lower than 1; expected a text that is not empty"#]].assert_eq(&files.problems(files.loader::<Settings>()));
}

#[test]
fn own_samples_load() {
    let sample = cqi_config::sample::<Settings>();
    assert!(
        sample.contains("\n  # The exchange to ask; it must be given.\n  exchange-url: \"\"\n"),
        "{sample}"
    );
    let files = Files::new(sample.replace("exchange-url: \"\"", "exchange-url: x"));
    let settings: Settings = files.loader().load().unwrap();
    let expected = Settings {
        pricing: Pricing {
            exchange_url: "x".into(),
            ..Pricing::default()
        },
        ..Settings::default()
    };
    assert_eq!(serde_json::json!(settings), serde_json::json!(expected));
}

#[test]
fn two_settings_with_one_variable_are_told_apart_by_nobody() {
    #[derive(Debug, Default, Deserialize, Serialize, JsonSchema, Validate)]
    #[serde(default)]
    #[garde(allow_unvalidated)]
    struct Twins {
        a_b: A,
        a: B,
    }
    #[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
    #[serde(default)]
    struct A {
        c: u8,
    }
    #[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
    #[serde(default)]
    struct B {
        b_c: u8,
    }
    let loader = cqi_config::Loader::<Twins>::new()
        .env_prefix("X")
        .env([("X_A_B_C", "1")]);
    expect!["the settings have a problem:\n  X_A_B_C: names several settings: a_b.c, a.b_c"]
        .assert_eq(&format!("{:#}", loader.load().unwrap_err()));
}

#[derive(Deserialize, Serialize, JsonSchema, Validate)]
#[serde(default)]
#[garde(allow_unvalidated)]
struct Secretive {
    token: Secret,
    pair: (String, Secret),
    keys: Vec<Secret>,
}

impl Default for Secretive {
    fn default() -> Self {
        let secret = || Secret::new("built-in");
        Self {
            token: secret(),
            pair: (String::new(), secret()),
            keys: vec![secret()],
        }
    }
}

#[test]
fn a_default_secret_is_not_replaced_by_its_redaction() {
    let secrets: Secretive = Files::new("{}").loader().load().unwrap();
    assert_eq!(secrets.token.expose(), "built-in");
    assert_eq!(secrets.pair.1.expose(), "built-in");
    assert_eq!(secrets.keys[0].expose(), "built-in");
    let files = Files::new("token: a\npair: [b, c]\n");
    let loader = files.loader().env([("CQI_KEYS", "d, e")]);
    let (secrets, origins) = loader.load_with_origins().unwrap();
    let Secretive { token, pair, keys } = &secrets;
    assert_eq!(
        (token.expose(), pair.1.expose(), keys[1].expose()),
        ("a", "c", "e")
    );
    for path in ["token", "pair", "keys"] {
        let value = &origins.get(path).unwrap().value;
        assert!(value.contains("[redacted]"), "{path}: {value}");
    }
}

#[derive(Deserialize, Serialize, JsonSchema, Validate)]
#[serde(default)]
#[garde(allow_unvalidated)]
struct Optional {
    maybe: Option<Secret>,
    never: Option<Secret>,
    built_in: Secret,
    all: Vec<Secret>,
    plain: Secret,
}

impl Default for Optional {
    fn default() -> Self {
        let secret = || Secret::new("built-in");
        Self {
            maybe: Some(secret()),
            never: None,
            built_in: secret(),
            all: vec![secret()],
            plain: Secret::default(),
        }
    }
}

#[test]
fn a_sample_keeps_default_secrets() {
    let sample = cqi_config::sample::<Optional>();
    expect![[r#"
        # maybe:

        never: null

        # built_in:

        # all:

        plain: ""
    "#]]
    .assert_eq(&sample);
    let settings: Optional = Files::new(&sample).loader().load().unwrap();
    assert_eq!(settings.maybe.unwrap().expose(), "built-in");
    assert!(settings.never.is_none() && settings.plain.is_empty());
    assert_eq!(settings.built_in.expose(), "built-in");
    assert_eq!(settings.all[0].expose(), "built-in");
}

#[test]
fn an_absent_secret_shows_as_absent() {
    let files = Files::new("{never: null, maybe: x}");
    let (_, origins) = files.loader::<Optional>().load_with_origins().unwrap();
    assert_eq!(origins.get("never").unwrap().value, "null");
    assert_eq!(origins.get("maybe").unwrap().value, "\"[redacted]\"");
}

#[derive(Default, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(default)]
struct Weighed {
    #[garde(dive)]
    venues: Vec<Weight>,
    #[garde(range(min = 0.0))]
    ratio: f32,
    #[garde(skip)]
    share: f32,
}

#[derive(Default, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(default)]
struct Weight {
    #[garde(range(min = 1))]
    weight: u8,
}

#[test]
fn a_default_that_is_refused_is_told_apart() {
    let files = Files::new("venues:\n  - weight: 1\n  - {}\n");
    expect![[r#"
        the settings have a problem:
          config.yaml:3: venues[1].weight: is not set, and its default is refused: lower than 1; expected an integer from 1 to 255"#]]
    .assert_eq(&files.problems(files.loader::<Weighed>()));
}

#[test]
fn a_small_float_takes_no_large_number() {
    let files = Files::new("ratio: 1e300\nshare: -1e39\n");
    expect![[r#"
        the settings have 2 problems:
          config.yaml:1: ratio = 1e300: out of range; expected a number of at least 0
          config.yaml:2: share = -1e39: out of range; expected a number up to 3.4028234663852886e38"#]]
    .assert_eq(&files.problems(files.loader::<Weighed>()));
}

#[test]
fn a_secret_in_a_form_of_its_own_is_not_shown() {
    for mistake in [
        "pair: sw0rd",
        "pair: [a, [sw0rd]]",
        "pair: [sw0rd]",
        "keys: sw0rd",
        "keys: [[sw0rd]]",
    ] {
        let files = Files::new(mistake);
        let found = files.problems(files.loader::<Secretive>());
        assert!(
            found.contains("config.yaml:1: ") && !found.contains("sw0rd"),
            "{found}"
        );
    }
}

#[test]
fn without_the_file_nothing_is_said_about_what_it_may_hold() {
    let files = Files::new("pricing: [");
    let found = files.problems(files.loader::<Settings>());
    assert!(!found.contains("exchange-url"), "{found}");
}
