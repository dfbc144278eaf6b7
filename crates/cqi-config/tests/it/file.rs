//! Files, good and bad.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cqi_config::{Config, LogOutput, SslMode};
use expect_test::expect;

use crate::{Files, loaded, problems};

#[test]
fn yaml_and_json_say_the_same() {
    let yaml =
        loaded("database:\n  host: db\n  port: 1\n  ssl_mode: require\n  query_timeout: 250ms\n");
    let json = loaded(
        r#"{"database": {"host": "db", "port": 1, "ssl_mode": "require", "query_timeout": "250ms"}}"#,
    );
    for config in [yaml, json] {
        assert_eq!(
            (config.database.host.as_str(), config.database.port),
            ("db", 1)
        );
        assert_eq!(config.database.ssl_mode, SslMode::Require);
        assert_eq!(config.database.query_timeout, Duration::from_millis(250));
    }
}

#[test]
fn texts_stay_as_they_are_written() {
    let config = loaded(
        "service: {name: no, version: 1.10, environment: 0x10, instance_id: 2026-01-01}\ndatabase: {user: true}",
    );
    assert_eq!(config.service.name, "no");
    assert_eq!(config.service.version, "1.10");
    assert_eq!(config.service.environment, "0x10");
    assert_eq!(config.service.instance_id, "2026-01-01");
    assert_eq!(config.database.user, "true");
}

#[test]
fn an_empty_section_and_anchors_are_fine() {
    let config = loaded(
        "database:\ncache: {connect_timeout: &t 7s, command_timeout: *t}\nx-ignored: 1\n"
            .replace("x-ignored: 1\n", "")
            .as_str(),
    );
    assert_eq!(config.cache.command_timeout, Duration::from_secs(7));
    let config = loaded("\u{feff}log:\r\n  output: stderr\r\n");
    assert_eq!(config.log.output, LogOutput::Stderr);
}

#[test]
fn variables_are_replaced_and_then_typed() {
    let files = Files::new(
        "server: {http_port: \"${PORT:-8081}\", grpc_port: \"${GRPC}\"}\n\
         database:\n  port: ${PORT:-5433}\n  host: ${A}-${B:-b}.local\n  password: $${A}\n  user: '${C:-}x'\n\
         log: {file: \"${NONE:-}\", redact: [\"${A}\"]}\n",
    );
    let config = files
        .loader::<Config>()
        .env([("A", "a: {b"), ("GRPC", "0")])
        .load()
        .unwrap();
    assert_eq!(
        (config.server.http_port, config.server.grpc_port),
        (8081, 0)
    );
    assert_eq!(config.database.port, 5433);
    assert_eq!(
        config.database.host, "a: {b-b.local",
        "a value is text, never structure"
    );
    assert_eq!(config.database.password.expose(), "${A}");
    assert_eq!(config.database.user, "x");
    assert_eq!(config.log.file, None);
    assert_eq!(config.log.redact, ["a: {b"]);
}

#[test]
fn what_is_no_document_is_an_error() {
    let text = |config: &str| problems(config).replace("the settings have a problem:\n  ", "");
    expect!["config.yaml: holds no settings; write {} if that is meant"].assert_eq(&text(""));
    expect!["config.yaml: holds no settings; write {} if that is meant"]
        .assert_eq(&text("# nothing\n"));
    expect!["config.yaml:1: holds no keys with values"].assert_eq(&text("- a\n"));
    expect!["config.yaml:2: is not valid YAML or JSON: illegal placement of ':' indicator"]
        .assert_eq(&text("a: [1\nb: 2"));
    expect!["config.yaml:3: holds more than one document"]
        .assert_eq(&text("log: {}\n---\nlog: {}\n"));
    expect!["config.yaml:3: log.level: set twice; first on line 2"]
        .assert_eq(&text("log:\n  level: info\n  level: warn\n"));
    expect!["config.yaml:2: log: set twice; first on line 1"]
        .assert_eq(&text("log: {level: info}\nlog: {level: warn}\n"));
    expect!["config.yaml:1: is not valid YAML or JSON: alias references unknown anchor"]
        .assert_eq(&text("log: *nope"));
    expect!["config.yaml:1: is not valid YAML or JSON: while parsing a flow mapping, did not find expected ',' or '}'; inside { } and [ ], ${..} needs quotes"]
        .assert_eq(&text("server: {http_port: ${P}}"));
    loaded("{}");
}

#[test]
fn what_is_no_text_is_an_error() {
    let bytes = |bytes: &[u8]| {
        let files = Files::new(bytes);
        files
            .problems(files.loader::<Config>())
            .replace("the settings have a problem:\n  ", "")
    };
    expect!["config.yaml: is not UTF-8 text: byte 3 is wrong"].assert_eq(&bytes(b"a: \xff"));
    expect!["config.yaml: is too large: at most 1MiB are read"]
        .assert_eq(&bytes(&vec![b'#'; 1 << 21]));
    let error = cqi_config::load::<Config>("/nowhere/config.yaml", "CQI").unwrap_err();
    expect!["the settings have a problem:\n  /nowhere/config.yaml: cannot be read: No such file or directory (os error 2)"]
        .assert_eq(&format!("{error:#}"));
    let error = cqi_config::load::<Config>("nowhere.yaml", "CQI").unwrap_err();
    let folder = std::env::current_dir().unwrap();
    let end = format!("(os error 2); the working folder is {}", folder.display());
    assert!(format!("{error:#}").ends_with(&end), "{error:#}");
    let error = cqi_config::load::<Config>("", "CQI").unwrap_err();
    expect!["the settings have a problem:\n  the file: cannot be read: its path is empty"]
        .assert_eq(&format!("{error:#}"));
    let error = cqi_config::load::<Config>("/dev/zero", "CQI").unwrap_err();
    assert!(format!("{error:#}").ends_with("/dev/zero: is not a regular file"));
}

#[test]
fn bombs_end_soon() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let deep = "[".repeat(100_000);
    let nested = format!("{}1{}", "{a: ".repeat(2_000), "}".repeat(2_000));
    let blocks = (0..1_000).fold(String::new(), |text, level| {
        text + &" ".repeat(level) + "a:\n"
    });
    let wide = "- x\n".repeat(100_000);
    #[expect(
        clippy::disallowed_methods,
        reason = "no runtime to pause: this measures real work"
    )]
    let start = Instant::now();
    for bomb in [bomb, deep, nested, blocks, wide] {
        let found = problems(&bomb);
        assert!(found.contains("config.yaml"), "{found}");
        assert!(!found.contains("breach"), "{found}");
    }
    // An alias is met while a value is read, so that its error is wrapped.
    let mut bomb = String::from("log: {redact: &a0 [x,x,x,x,x,x,x,x,x,x]}\nx: [\n");
    bomb += &"*a0,\n".repeat(3_000);
    let found = problems(&format!("{bomb}]"));
    assert!(found.contains("too large or too deep"), "{found}");
    assert!(start.elapsed() < Duration::from_secs(20));
}
