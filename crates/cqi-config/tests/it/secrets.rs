//! A secret is in no text that anybody reads.

use cqi_config::{Config, Secret};
use expect_test::expect;

use crate::{Files, from_env, problems};

const SECRET: &str = "sw0rd'fish =\" ü";

#[test]
fn no_format_of_a_config_shows_a_secret() {
    let config = from_env([
        ("CQI_DATABASE_PASSWORD", SECRET),
        ("CQI_CACHE_PASSWORD", SECRET),
        ("CQI_CACHE_SENTINEL_PASSWORD", SECRET),
        ("CQI_EVENT_BUS_SASL_PASSWORD", SECRET),
        ("CQI_TRACING_HEADERS", r#"{"authorization": "sw0rd'fish"}"#),
    ]);
    let (config, origins) = config.load_with_origins().unwrap();
    assert_eq!(config.database.password.expose(), SECRET);
    let texts = [
        format!("{config:?}"),
        format!("{config:#?}"),
        serde_json::to_string(&config).unwrap(),
        serde_json::to_string_pretty(&config).unwrap(),
        origins.to_string(),
        format!("{origins:?}"),
        format!("{:?}", from_env([("CQI_DATABASE_PASSWORD", SECRET)])),
    ];
    for text in texts {
        assert!(!text.contains("sw0rd"), "{text}");
        assert!(!text.contains("fish"), "{text}");
    }
}

#[test]
fn an_unset_secret_looks_unset() {
    let (unset, set) = (Secret::default(), Secret::new("x"));
    assert_eq!(
        (format!("{unset:?}"), format!("{set:?}")),
        ("\"\"".into(), "\"[redacted]\"".into())
    );
    assert_eq!(
        serde_json::to_string(&[unset, set]).unwrap(),
        r#"["","[redacted]"]"#
    );
}

#[test]
fn secrets_come_from_files() {
    let files = Files::new("database: {password: from-config}");
    let load = |content: &[u8]| {
        let path = files.add("secret", content);
        files
            .loader::<Config>()
            .env([
                ("CQI_DATABASE_PASSWORD_FILE", path.as_str()),
                ("CQI_DATABASE_PASSWORD", "from-variable"),
            ])
            .load()
    };
    let password = |content: &[u8]| load(content).unwrap().database.password.expose().to_owned();
    assert_eq!(password(b"a b\n"), "a b");
    assert_eq!(password(b"a\r\n"), "a");
    assert_eq!(password(b"a\n\n"), "a\n", "one line break is the file's");
    assert_eq!(
        password(b" ${HOME} "),
        " ${HOME} ",
        "a secret is not interpolated"
    );
    for empty in ["", "\n", "\r\n"] {
        let error = load(empty.as_bytes()).unwrap_err();
        assert!(
            format!("{error:#}").contains("database.password: the file is empty"),
            "{error:#}"
        );
    }
    let error = from_env([("CQI_DATABASE_PASSWORD_FILE", "")]).load();
    assert!(format!("{:#}", error.unwrap_err()).contains(": database.password: names no file"));
    assert!(
        format!("{:#}", load(b"sw0rd\xff").unwrap_err())
            .contains("the file is not UTF-8 text: byte 5 is wrong")
    );
    assert!(
        format!("{:#}", load(&[b'x'; 70_000]).unwrap_err()).contains("is too large: at most 64KiB")
    );
    let folder = std::env::temp_dir();
    let error = from_env([("CQI_DATABASE_PASSWORD_FILE", folder.to_str().unwrap())])
        .load()
        .unwrap_err();
    assert!(format!("{error:#}").contains("the file is not a regular file"));
}

#[test]
fn no_mistake_shows_a_secret() {
    let mistakes = [
        "database: {password: [sw0rd]}",
        "database: {password: {sw0rd: fish}}",
        "database: sw0rd",
        "database: [sw0rd]",
        "database: {passwrod: sw0rd}",
        "database: {password: \"sw0rd}",
        "database: {password: 'sw0rd', password: 'fish'}",
        "database:\n  password: sw0rd: fish",
        "database:\n  password: &sw0rd\n   *fish",
        "database: {password: \"[redacted]\"}",
        "tracing: {headers: sw0rd}",
        "tracing: {headers: {a: [sw0rd]}}",
        "auth: {api_keys: [{id: a, owner: b, sha256: sw0rd}]}",
        "auth: {api_keys: [sw0rd]}",
        "auth: {api_keys: sw0rd}",
        "server: {http_port: \"${VAR}\"}",
        "server: {http_port: \"a${VAR:-x}\"}",
        "sw0rd",
        "[sw0rd]",
    ];
    for mistake in mistakes {
        let files = Files::new(mistake);
        let loader = files.loader::<Config>().env([
            ("VAR", "sw0rd"),
            ("CQI_DATABASE_PASSWROD", "sw0rd"),
            ("CQI_DATABASE_PASSWORD_FLE", "sw0rd"),
            ("CQI_AUTH_API_KEYS", "[{\"id\": \"sw0rd"),
        ]);
        let error = loader.load().unwrap_err();
        let texts = [
            format!("{error}"),
            format!("{error:#}"),
            format!("{error:?}"),
            format!("{:?}", crate::problems_of(&error)),
        ];
        for text in texts {
            let text = text.replace("&sw0rd", "");
            assert!(
                !text.contains("sw0rd") && !text.contains("fish"),
                "{mistake}: {text}"
            );
        }
    }
}

/// A password in a setting that is no secret, which is easily done.
const MISPLACED: [&str; 6] = [
    "postgres://me:sw0rd@db/app",
    "me:sw0rd@db",
    "host=db password=sw0rd",
    "Host=db;Pwd=sw0rd",
    "db?access_token=sw0rd&x=1",
    "client_secret='sw0rd fish'",
];

#[test]
fn a_password_in_another_setting_is_not_shown() {
    for text in MISPLACED {
        let loader = from_env([("CQI_SERVICE_NAME", text), ("CQI_LOG_REDACT", text)]);
        let (config, origins) = loader.load_with_origins().unwrap();
        assert_eq!(config.service.name, text);
        let shown = format!("{origins}{origins:?}");
        assert!(shown.contains("[redacted]"), "{shown}");
        assert!(
            !shown.contains("sw0rd") && !shown.contains("fish"),
            "{shown}"
        );

        for path in [
            "server.http_port",
            "log.level",
            "log.format",
            "database.port",
        ] {
            let (section, key) = path.split_once('.').unwrap();
            let found = problems(&format!("{section}: {{{key}: \"{text}\"}}"));
            assert!(
                !found.contains("sw0rd") && !found.contains("fish"),
                "{found}"
            );
        }
        let found = problems(&format!("database: {{\"{text}\": 1}}"));
        assert!(
            found.contains("unknown key") && !found.contains("sw0rd"),
            "{found}"
        );
    }
}

#[test]
fn a_connection_string_is_refused_where_a_part_belongs() {
    let refused = |name: &str, text: &str| {
        let found = format!("{:#}", from_env([(name, text)]).load().unwrap_err());
        assert!(found.contains("settings of their own"), "{found}");
        assert!(!found.contains("sw0rd"), "{found}");
    };
    for name in [
        "CQI_DATABASE_HOST",
        "CQI_DATABASE_USER",
        "CQI_DATABASE_DATABASE",
        "CQI_DATABASE_APPLICATION_NAME",
        "CQI_CACHE_USERNAME",
        "CQI_CACHE_SENTINEL_SERVICE",
        "CQI_EVENT_BUS_SASL_USERNAME",
    ] {
        refused(name, "postgres://me:sw0rd@db/app");
        refused(name, "host=db password=sw0rd");
    }
    refused("CQI_DATABASE_HOST", "me:sw0rd@db");
    let azure = from_env([("CQI_DATABASE_USER", "me@tenant")])
        .load()
        .unwrap();
    assert_eq!(azure.database.user, "me@tenant");
}

#[test]
fn a_number_is_a_fine_password() {
    let config = crate::loaded("database: {password: 012345}\ncache: {password: 1.10}\n");
    assert_eq!(config.database.password.expose(), "012345");
    assert_eq!(config.cache.password.expose(), "1.10");
    expect!["the settings have a problem:\n  config.yaml:1: database.password: a redacted secret cannot be read back; expected a secret text"]
        .assert_eq(&problems("database: {password: \"[redacted]\"}"));
}
