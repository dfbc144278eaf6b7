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
    assert_eq!(password(b""), "");
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

#[test]
fn a_number_is_a_fine_password() {
    let config = crate::loaded("database: {password: 012345}\ncache: {password: 1.10}\n");
    assert_eq!(config.database.password.expose(), "012345");
    assert_eq!(config.cache.password.expose(), "1.10");
    expect!["the settings have a problem: \n  config.yaml:1: database.password: a redacted secret cannot be read back; expected a secret text"]
        .assert_eq(&problems("database: {password: \"[redacted]\"}"));
}
