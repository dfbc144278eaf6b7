//! What holds when nobody says anything.

use std::time::Duration;

use cqi_config::{CacheBackend, Config, EventBusBackend, Loader, LogFormat, Origin, SslMode};
use serde_json::{Value, json};

use crate::from_env;

#[test]
fn nothing_set_gives_the_defaults() {
    let config: Config = from_env([]).load().unwrap();
    let (loaded, defaults) = (json!(config), json!(Config::default()));
    assert_eq!(loaded, defaults);
    assert_eq!(config.database.ssl_mode, SslMode::VerifyFull);
    assert_eq!(config.database.query_timeout, Duration::from_secs(30));
    assert_eq!(config.cache.backend, CacheBackend::Memory);
    assert_eq!(config.event_bus.backend, EventBusBackend::Memory);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(
        config.cache.tls && config.event_bus.tls,
        "encrypted unless said otherwise"
    );
    assert!(config.server.host.is_loopback() && config.metrics.host.is_loopback());
    assert!(config.auth.api_keys.is_empty() && config.auth.jwt.keys.is_empty());
}

#[test]
fn the_environment_of_the_process_is_the_default_source() {
    // `PATH` exists wherever tests run, and does not begin with the prefix.
    let config: Config = Loader::new().env_prefix("CQI").load().unwrap();
    assert_eq!(config.service.name, "service");
    let config: Config = cqi_config::load_env("CQI").unwrap();
    assert_eq!(config.service.name, "service");
}

/// The sentence that every doc comment ends with must be true.
#[test]
fn each_doc_comment_tells_the_default() {
    let schema = cqi_config::schema::<Config>();
    let mut checked = 0;
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for (key, field) in definition["properties"].as_object().into_iter().flatten() {
            let Some(default) = field.get("default") else {
                continue;
            };
            let told = match default {
                Value::Null => "none".to_owned(),
                Value::String(text) if text.is_empty() => "empty".to_owned(),
                Value::String(text) => text.clone(),
                Value::Array(items) if items.is_empty() => "none".to_owned(),
                Value::Array(items) => {
                    let items: Vec<_> = items.iter().map(|item| item.as_str().unwrap()).collect();
                    items.join(", ")
                }
                Value::Object(entries) if entries.is_empty() => "none".to_owned(),
                Value::Number(number) => number.as_f64().unwrap().to_string(),
                other => other.to_string(),
            };
            let doc = field["description"]
                .as_str()
                .unwrap()
                .replace(['\n', '`'], " ");
            let doc: Vec<_> = doc.split_whitespace().collect();
            let doc = doc.join(" ").replace(" .", ".");
            let exceptions = ["ApiKeyConfig.scopes", "ApiKeyConfig.expires_at"];
            if !exceptions.contains(&format!("{name}.{key}").as_str()) {
                assert!(
                    doc.ends_with(&format!("Default: {told}.")),
                    "{name}.{key}: {doc} ({told})"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 80, "{checked}");
}

#[test]
fn origins_name_the_layer_of_each_setting() {
    let files = crate::Files::new("database:\n  host: db\n  port: 1\nlog:\n  level: warn\n");
    let secret = files.add("password", "swordfish\n");
    let loader = files.loader::<Config>().env([
        ("CQI_DATABASE_PORT", "2"),
        ("CQI_DATABASE_PASSWORD_FILE", secret.as_str()),
        ("LOG_LEVEL", "debug"),
    ]);
    let (config, origins) = loader.load_with_origins().unwrap();
    assert_eq!(config.database.port, 2);
    let origin = |path| files.relative(&origins.get(path).unwrap().origin.to_string());
    assert_eq!(origin("database.host"), "config.yaml:2");
    assert_eq!(origin("database.port"), "CQI_DATABASE_PORT");
    assert_eq!(
        origin("database.password"),
        "CQI_DATABASE_PASSWORD_FILE (password)"
    );
    assert_eq!(origin("log.level"), "LOG_LEVEL");
    assert_eq!(
        origins.get("database.user").unwrap().origin,
        Origin::Default
    );
    assert_eq!(origins.get("cache.max_size").unwrap().value, "\"64MiB\"");
    assert!(origins.get("database").is_none());
    assert!(origins.iter().count() > 80);
    assert!(!origins.to_string().contains("swordfish"));
}
