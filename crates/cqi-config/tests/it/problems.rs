//! Every mistake is reported, at once, where it was made.

use cqi_config::{Config, Origin};
use cqi_errors::Kind;
use expect_test::expect;

use crate::{Files, from_env, problems, problems_of};

#[test]
fn a_config_with_eight_mistakes_prints_eight_problems() {
    let files = Files::new(
        r#"service:
  name: pricing
server:
  http_port: 99999
  request_timeout: 30
databse:
  host: db-1
database:
  password: [hunter2]
  ssl_mode: verify_full
cache:
  hosts: ["${REDIS_HOST}:6379"]
"#,
    );
    let absent = files.add("gone", "");
    std::fs::remove_file(&absent).unwrap();
    let loader = files.loader::<Config>().env([
        ("CQI_DATABASE_MAX_CONECTIONS", "20"),
        ("CQI_EVENT_BUS_SASL_PASSWORD_FILE", absent.as_str()),
    ]);
    let error = loader.load().unwrap_err();
    assert_eq!(problems_of(&error).len(), 8);
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.public_message(), "invalid input");
    expect![[r#"
        the settings have 8 problems:
          config.yaml:4: server.http_port = 99999: out of range; expected an integer from 0 to 65535
          config.yaml:5: server.request_timeout = 30: has no unit; expected a duration such as 500ms, 30s, 5m or 1h 30m; did you mean 30s?
          config.yaml:6: databse: unknown key; did you mean database?
          config.yaml:9: database.password: is a list; expected a secret text
          config.yaml:10: database.ssl_mode = "verify_full": unknown value; expected one of disable, prefer, require, verify-full; did you mean verify-full?
          config.yaml:12: cache.hosts[0]: needs the variable REDIS_HOST, which is not set; set it, or write ${REDIS_HOST:-default}
          CQI_DATABASE_MAX_CONECTIONS: unknown variable; did you mean CQI_DATABASE_MAX_CONNECTIONS?
          CQI_EVENT_BUS_SASL_PASSWORD_FILE (gone): event_bus.sasl_password: the file cannot be read: No such file or directory (os error 2); expected a text file of at most 64KiB"#]].assert_eq(&files.relative(&format!("{error:#}")));
}

#[test]
fn problems_are_structured() {
    let error = from_env([
        ("CQI_DATABASE_PORT", "0"),
        ("CQI_DATABASE_SSL_MODE", "requier"),
    ]);
    let error = error.load().unwrap_err();
    let [port, mode] = problems_of(&error) else {
        panic!("two problems: {error:#}")
    };
    assert_eq!(
        (port.path.as_str(), port.value.as_deref()),
        ("database.port", Some("0"))
    );
    assert_eq!(
        port.origin,
        Origin::Variable("CQI_DATABASE_PORT".to_owned())
    );
    assert_eq!(port.message, "out of range");
    assert_eq!(port.allowed.as_deref(), Some("an integer from 1 to 65535"));
    assert_eq!(mode.suggestion.as_deref(), Some("require"));
    assert_eq!(error.to_string(), "the settings have 2 problems");
}

#[test]
fn rules_between_settings_are_checked() {
    expect![[r#"
        the settings have 21 problems:
          config.yaml:1: database.min_connections = 11: must be at most max_connections, 10
          config.yaml:1: database.query_timeout = "0s": must be longer than 0s
          config.yaml:1: database.ssl_key = "k": must be set together with ssl_cert
          config.yaml:2: event_bus.brokers: entry 1 must be host:port
          config.yaml:3: cache.hosts: too short; expected a list that is not empty
          config.yaml:3: cache.database = 1: must be 0: a cluster has no other
          config.yaml:4: log.level = "info,cqi=loud": must be off, error, warn, info, debug or trace, or target=level, joined by commas
          config.yaml:5: metrics.path = "metrics": must be a path such as /metrics
          config.yaml:6: tracing.sample_ratio = 1.5: out of range; expected a number from 0 to 1
          config.yaml:6: tracing.batch_size = 4000: must be at most queue_size, 2048
          config.yaml:6: tracing.endpoint = "localhost:4317": must start with http:// or https://
          config.yaml:8: auth.jwt.jwks_url = "ftp://x": must start with http:// or https://
          config.yaml:9: auth.api_keys: must have distinct ids; c is there twice
          config.yaml:10: auth.api_keys[0].id = "a.b": must not contain a dot, which ends the id in a key
          config.yaml:10: auth.api_keys[0].sha256: must be a SHA-256 hash of 64 hexadecimal digits
          config.yaml:12: auth.api_keys[2].owner = "": too short; expected a text that is not empty
          default: auth.jwt.audience: must be set when auth.jwt has keys
          default: auth.jwt.issuer = "": must be set when auth.jwt has keys
          default: event_bus.group = "": must name the consumer group when event_bus.backend is kafka
          default: event_bus.sasl_username = "": must name the user when event_bus.sasl_mechanism is set
          default: log.file = null: must name a file when log.output is file"#]].assert_eq(&problems(
        "database: {min_connections: 11, ssl_key: k, query_timeout: 0s}
event_bus: {backend: kafka, sasl_mechanism: plain, brokers: [kafka]}
cache: {backend: redis-cluster, database: 1, hosts: []}
log: {output: file, level: 'info,cqi=loud'}
metrics: {path: metrics}
tracing: {endpoint: 'localhost:4317', batch_size: 4000, sample_ratio: 1.5}
auth:
  jwt: {jwks_url: 'ftp://x'}
  api_keys:
    - {id: a.b, owner: x, sha256: abc}
    - {id: c, owner: x, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}
    - {id: c, owner: '', sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}
",
    ));
}

#[test]
fn wrong_types_are_told_with_what_is_allowed() {
    expect![[r#"
        the settings have 19 problems:
          config.yaml:1: service: is a single value; expected keys with values
          config.yaml:2: server.host = "example.com": not an IP address; expected an IP address such as 127.0.0.1
          config.yaml:2: server.http_port = "8080": in quotes, which make it a text; expected an integer from 0 to 65535
          config.yaml:2: server.max_body_size = "5M": not a size; expected a size such as 512KiB, 16MiB or 1GB
          config.yaml:2: server.drain_delay = "5 parsecs": not a duration; expected a duration such as 500ms, 30s, 5m or 1h 30m
          config.yaml:3: log.level: has no value; expected a text
          config.yaml:3: log.redact: is a single value; expected a list, each entry a text
          config.yaml:3: log.file: is a list; expected a text, or null
          config.yaml:4: database.pgbouncer = "true": in quotes, which make it a text; expected true or false
          config.yaml:4: database.max_connections = 1e3: not an integer; expected an integer from 1 to 10000
          config.yaml:4: database.host: has keys of its own; expected a text that is not empty
          config.yaml:4: database.ssl_mode = "strict": unknown value; expected one of disable, prefer, require, verify-full
          config.yaml:5: metrics.enabled = "yes": neither true nor false; expected true or false
          config.yaml:5: metrics.max_series = -1: out of range; expected an integer from 1 to 4294967295
          config.yaml:6: tracing.sample_ratio = "half": not a number; expected a number from 0 to 1
          config.yaml:6: tracing.headers: is a list; expected keys with values
          config.yaml:7: auth.api_keys[0].expires_at = "tomorrow": not a time; expected a time such as 2027-01-31T00:00:00Z, or null
          config.yaml:7: auth.api_keys[0].sha256: is missing; expected a secret text
          config.yaml:7: auth.api_keys[0].owner: is missing; expected a text that is not empty"#]].assert_eq(&problems(
        "service: pricing
server: {host: example.com, http_port: '8080', max_body_size: 5M, drain_delay: 5 parsecs}
log: {level: , redact: password, file: [x]}
database: {pgbouncer: 'true', max_connections: 1e3, host: {a: b}, ssl_mode: strict}
metrics: {enabled: yes, max_series: -1}
tracing: {sample_ratio: half, headers: [a]}
auth: {api_keys: [{id: a, expires_at: tomorrow}]}
",
    ));
}

#[test]
fn a_broken_file_does_not_hide_the_variables() {
    let files = Files::new("log: [");
    let loader = files
        .loader::<Config>()
        .env([("CQI_DATABASE_PORT", "x"), ("CQI_X", "x")]);
    expect![[r#"
        the settings have 3 problems:
          config.yaml:1: is not valid YAML or JSON: unclosed bracket '['
          CQI_DATABASE_PORT: database.port = x: not an integer; expected an integer from 1 to 65535
          CQI_X: unknown variable"#]]
    .assert_eq(&files.problems(loader));
}

#[test]
fn a_key_cannot_fill_or_break_the_line() {
    let found = problems(&format!("\"a\\nb\": 1\n\"{}\": 1\n", "k".repeat(1_000)));
    let lines: Vec<_> = found.lines().collect();
    assert_eq!(lines[1], r"  config.yaml:1: a\nb: unknown key");
    assert!(lines[2].len() < 300, "{found}");
}
