//! Variables are matched by name against the settings there are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::time::Duration;

use cqi_config::{CacheBackend, Config, Loader};
use expect_test::expect;

use crate::{Files, from_env};

fn problem<const N: usize>(variables: [(&str, &str); N]) -> String {
    let error = from_env(variables).load().unwrap_err();
    format!("{error:#}").replace("the settings have a problem:\n  ", "")
}

#[test]
fn names_with_underscores_find_their_setting() {
    let config = from_env([
        ("CQI_DATABASE_HOST", "db-1,db-2:5433"),
        ("CQI_DATABASE_MAX_CONNECTIONS", "20"),
        ("CQI_EVENT_BUS_QUEUE_SIZE", "1MiB"),
        ("CQI_EVENT_BUS_QUEUE_EVENTS", "5"),
        ("CQI_SERVER_DRAIN_DELAY", "0s"),
        ("CQI_TRACING_SAMPLE_RATIO", "0"),
        ("CQI_TRACING_ENABLED", "false"),
        ("CQI_CACHE_BACKEND", "redis-cluster"),
        ("CQI_SERVICE_VERSION", "1.10"),
        ("CQI_SERVICE_NAME", "true"),
        ("CQI_AUTH_JWT_LEEWAY", "1m"),
        ("cqi_database_port", "1"),
        ("CQIX_DATABASE_PORT", "1"),
        ("DATABASE_PORT", "1"),
    ]);
    let config = config.load().unwrap();
    assert_eq!(config.database.host, "db-1,db-2:5433");
    assert_eq!(config.database.port, 5432);
    assert_eq!(config.database.max_connections, 20);
    assert_eq!(config.event_bus.queue_size, 1 << 20);
    assert_eq!(config.event_bus.queue_events, 5);
    assert_eq!(config.server.drain_delay, Duration::ZERO, "zero is zero");
    assert_eq!(config.tracing.sample_ratio, 0.0, "zero is zero");
    assert!(!config.tracing.enabled);
    assert_eq!(config.cache.backend, CacheBackend::RedisCluster);
    assert_eq!(config.service.version, "1.10");
    assert_eq!(config.service.name, "true");
    assert_eq!(config.auth.jwt.leeway, Duration::from_secs(60));
}

#[test]
fn lists_and_maps() {
    let hosts = |text| {
        from_env([("CQI_CACHE_HOSTS", text)])
            .load()
            .unwrap()
            .cache
            .hosts
    };
    assert_eq!(hosts("a:1, b:2"), ["a:1", "b:2"]);
    assert_eq!(hosts(r#"["a:1", "b:2"]"#), ["a:1", "b:2"]);
    let redact = |text| {
        from_env([("CQI_LOG_REDACT", text)])
            .load()
            .unwrap()
            .log
            .redact
    };
    assert_eq!(redact(""), [""; 0]);
    assert_eq!(redact("[]"), [""; 0]);
    assert_eq!(redact("12,true"), ["12", "true"]);

    let config = from_env([
        (
            "CQI_TRACING_HEADERS",
            r#"{"authorization": "Bearer x", "n": 5}"#,
        ),
        (
            "CQI_AUTH_API_KEYS",
            r#"[{"id": "a", "owner": "b", "scopes": ["read"], "expires_at": "2027-01-31T00:00:00Z",
                "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]"#,
        ),
    ]);
    let config = config.load().unwrap();
    let headers: BTreeMap<_, _> = config
        .tracing
        .headers
        .iter()
        .map(|(key, value)| (key.as_str(), value.expose()))
        .collect();
    assert_eq!(
        headers,
        BTreeMap::from([("authorization", "Bearer x"), ("n", "5")])
    );
    let [key] = config.auth.api_keys.as_slice() else {
        panic!("one key")
    };
    assert_eq!((key.id.as_str(), key.owner.as_str()), ("a", "b"));
    assert_eq!(key.scopes, ["read"]);
    let expires = key
        .expires_at
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert_eq!(expires.as_secs(), 1_801_353_600);
}

#[test]
fn layers_replace_each_other() {
    let files =
        Files::new("database: {host: file, port: 1, user: file}\ncache: {hosts: ['a:1', 'b:2']}");
    let config = files
        .loader::<Config>()
        .env([("CQI_DATABASE_PORT", "2"), ("CQI_CACHE_HOSTS", "c:3")]);
    let config = config.load().unwrap();
    assert_eq!(
        (config.database.host.as_str(), config.database.port),
        ("file", 2)
    );
    assert_eq!(config.database.database, "postgres");
    assert_eq!(config.cache.hosts, ["c:3"], "a list replaces a list");
}

#[test]
fn what_can_be_absent_is_absent_when_empty() {
    let files = Files::new("log: {output: file, file: /tmp/a.log}");
    let config = files
        .loader::<Config>()
        .env([("CQI_LOG_FILE", "/tmp/b.log")])
        .load()
        .unwrap();
    assert_eq!(config.log.file.as_deref(), Some(Path::new("/tmp/b.log")));
    let config = files
        .loader::<Config>()
        .env([("CQI_LOG_FILE", ""), ("CQI_LOG_OUTPUT", "stderr")]);
    assert_eq!(config.load().unwrap().log.file, None);
}

#[test]
fn log_level_comes_last() {
    let level = |variables: [(&str, &str); 2]| from_env(variables).load().unwrap().log.level;
    assert_eq!(
        level([
            ("CQI_LOG_LEVEL", "warn"),
            ("LOG_LEVEL", "debug,cqi_db=trace")
        ]),
        "debug,cqi_db=trace"
    );
    assert_eq!(
        level([("CQI_LOG_LEVEL", "warn"), ("LOG_LEVEL", "")]),
        "warn"
    );
    let none = Loader::<Config>::new()
        .env([("LOG_LEVEL", "error")])
        .load()
        .unwrap();
    assert_eq!(none.log.level, "error", "without a prefix too");
}

#[test]
fn mistakes_name_the_variable() {
    expect!["CQI_DATABASE_PORT: database.port = high: not an integer; expected an integer from 1 to 65535"]
        .assert_eq(&problem([("CQI_DATABASE_PORT", "high")]));
    expect!["CQI_CACHE_HOSTS: cache.hosts: is not valid YAML or JSON: unclosed bracket '['; expected JSON: a list, each entry a text"]
        .assert_eq(&problem([("CQI_CACHE_HOSTS", "[a")]));
    expect!["CQI_AUTH_API_KEYS: auth.api_keys[0]: is a single value; expected keys with values"]
        .assert_eq(&problem([("CQI_AUTH_API_KEYS", "id.secret")]));
    expect!["CQI_LOG_LEVEL_FILE: log.level: only a secret can be read from a file; did you mean CQI_LOG_LEVEL?"]
        .assert_eq(&problem([("CQI_LOG_LEVEL_FILE", "/x")]));
    expect!["CQI_DATABASE: names a section, whose settings are CQI_DATABASE_..; set one of them"]
        .assert_eq(&problem([("CQI_DATABASE", "db")]));
    expect!["CQI_NOTHING_LIKE_IT: unknown variable"]
        .assert_eq(&problem([("CQI_NOTHING_LIKE_IT", "x")]));
    expect!["LOG_LEVEL: log.level = \"infoo\": must be off, error, warn, info, debug or trace, or target=level, joined by commas"]
        .assert_eq(&problem([("LOG_LEVEL", "infoo")]));
    expect![
        "CQI_TRACING_ENABLED: tracing.enabled = yes: neither true nor false; expected true or false"
    ]
    .assert_eq(&problem([("CQI_TRACING_ENABLED", "yes")]));
    expect!["CQI_DATABASE_PORT: database.port = tcp://[redacted]@10.0.0.1:5432: not an integer; expected an integer from 1 to 65535"]
        .assert_eq(&problem([("CQI_DATABASE_PORT", "tcp://me:swordfish@10.0.0.1:5432")]));
}

#[test]
fn a_value_that_is_not_utf8_is_a_problem_not_a_panic() {
    let invalid = OsString::from_vec(vec![b'a', 0xff]);
    let error = Loader::<Config>::new()
        .env_prefix("CQI")
        .env([
            (OsString::from("CQI_DATABASE_HOST"), invalid.clone()),
            (OsString::from("OTHER"), invalid.clone()),
            (invalid, OsString::from("x")),
        ])
        .load()
        .unwrap_err();
    assert!(format!("{error:#}").ends_with("CQI_DATABASE_HOST: database.host: is not UTF-8 text"));
}

#[test]
fn variables_of_the_test_kit_are_left_alone() {
    from_env([("CQI_TEST_POSTGRES_URL", "postgres://localhost")])
        .load()
        .unwrap();
}

#[test]
fn the_prefix_may_end_in_an_underscore_and_be_any() {
    let load = |prefix: &str| {
        Loader::<Config>::new()
            .env_prefix(prefix)
            .env([("APP_SERVER_HTTP_PORT", "0")])
            .load()
    };
    assert_eq!(load("APP").unwrap().server.http_port, 0);
    assert_eq!(load("APP_").unwrap().server.http_port, 0);
}
