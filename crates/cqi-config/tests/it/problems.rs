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
          config.yaml:5: server.request_timeout = 30: has no unit; expected a duration such as 500ms, 30s, 5m or 1h 30m
          config.yaml:6: databse: unknown key; did you mean database?
          config.yaml:9: database.password: is a list; expected a secret text
          config.yaml:10: database.ssl_mode = "verify_full": unknown value; expected one of disable, prefer, require, verify-full; did you mean verify-full?
          config.yaml:12: cache.hosts[0]: needs the variable REDIS_HOST, which is not set; set it, or write ${REDIS_HOST:-default}
          CQI_DATABASE_MAX_CONECTIONS: unknown variable; did you mean CQI_DATABASE_MAX_CONNECTIONS?
          CQI_EVENT_BUS_SASL_PASSWORD_FILE (gone): event_bus.sasl_password: the file cannot be read: No such file or directory (os error 2); expected a text file of at most 64KiB"#]].assert_eq(&files.relative(&format!("{error:#}")));
}
