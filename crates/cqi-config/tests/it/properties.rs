//! What holds for any input.

use std::collections::BTreeSet;
use std::time::Duration;

use cqi_config::{Config, HumanDuration, HumanSize, Loader, Origin};
use proptest::prelude::*;

use crate::{Files, from_env};

fn leaves() -> Vec<String> {
    let (_, origins) = from_env([]).load_with_origins().unwrap();
    origins.iter().map(|setting| setting.path.clone()).collect()
}

fn variable(path: &str) -> String {
    format!("CQI_{}", path.replace('.', "_").to_uppercase())
}

#[test]
fn each_variable_names_one_setting() {
    let leaves = leaves();
    let names: BTreeSet<_> = leaves.iter().map(|path| variable(path)).collect();
    assert_eq!(names.len(), leaves.len());
    for name in &names {
        assert!(
            !names.contains(&format!("{name}_FILE")),
            "{name}_FILE is two things"
        );
        let error = Loader::<Config>::new()
            .env_prefix("CQI")
            .env([(name.as_str(), "{")])
            .load();
        // What is refused is refused under its own name; a rule may miss something elsewhere.
        let refused = error
            .as_ref()
            .err()
            .map(crate::problems_of)
            .unwrap_or_default();
        let mut set = refused
            .iter()
            .filter(|problem| problem.origin != Origin::Default);
        assert!(
            set.all(|problem| variable(&problem.path) == *name),
            "{name}: {refused:?}"
        );
    }
}

/// A document of keys that are right, wrong and misplaced, and values of every kind.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        "[a-z]{0,6}",
        "-?[0-9]{1,25}",
        "[0-9]{1,3}(ms|s|m|MiB|kB)",
        "\"\\PC{0,6}\"",
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("${X}".to_owned()),
        Just("${X:-1}".to_owned()),
        Just("&a 1".to_owned()),
        Just("*a".to_owned()),
        Just("!!int x".to_owned()),
        Just(".nan".to_owned()),
    ];
    let key = prop_oneof![proptest::sample::select(leaves()), "[a-z_]{1,8}".boxed()]
        .prop_map(|path| path.split('.').map(str::to_owned).collect::<Vec<_>>());
    let value = scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec(("[a-z<]{1,4}", inner), 0..3).prop_map(|entries| {
                let entries: Vec<_> = entries
                    .into_iter()
                    .map(|(key, value)| format!("\"{key}\": {value}"))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    });
    proptest::collection::vec((key, value), 0..8).prop_map(|entries| {
        let mut text = String::new();
        for (path, value) in entries {
            let (last, sections) = path.split_last().unwrap();
            let open: String = sections
                .iter()
                .map(|section| format!("{section}: {{"))
                .collect();
            text.push_str(&format!(
                "{open}{last}: {value}{}\n",
                "}".repeat(sections.len())
            ));
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn no_document_makes_it_panic(text in document()) {
        let _ = Files::new(&text).loader::<Config>().load();
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Files::new(&bytes).loader::<Config>().load();
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-a:{}\\[\\]&*!|>'\"%@`#,? \n\t$é0-9]{0,60}") {
        let _ = Files::new(&text).loader::<Config>().load();
    }

    #[test]
    fn no_variable_makes_it_panic(path in proptest::sample::select(leaves()), text in "\\PC{0,20}|[\\[{][\\[{}\\]\":,a-z0-9 ]{0,20}") {
        let name = variable(&path);
        let _ = from_env([(name.as_str(), text.as_str())]).load();
    }

    #[test]
    fn a_number_arrives_from_any_layer(port: u16, file: bool) {
        let text = port.to_string();
        let config = if file {
            crate::loaded(&format!("server:\n  http_port: {text}"))
        } else {
            from_env([("CQI_SERVER_HTTP_PORT", text.as_str())]).load().unwrap()
        };
        prop_assert_eq!(config.server.http_port, port);
    }

    #[test]
    fn durations_and_sizes_survive_a_file(millis in 1u64..10_000_000_000, bytes in 1u64..) {
        let text = format!(
            "cache:\n  default_ttl: {}\n  max_size: {}\n",
            HumanDuration::format(Duration::from_millis(millis)),
            HumanSize::format(bytes),
        );
        let config = crate::loaded(&text);
        prop_assert_eq!(config.cache.default_ttl, Duration::from_millis(millis));
        prop_assert_eq!(config.cache.max_size, bytes);
    }

    #[test]
    fn any_password_arrives_by_variable_and_file(password in "\\PC{1,30}") {
        prop_assume!(password != "[redacted]");
        let files = Files::new("{}");
        let path = files.add("password", format!("{password}\n"));
        let loader = files.loader::<Config>().env([
            ("CQI_DATABASE_PASSWORD", password.as_str()),
            ("CQI_CACHE_PASSWORD_FILE", path.as_str()),
        ]);
        let config = loader.load().unwrap();
        prop_assert_eq!(config.database.password.expose(), password.as_str());
        prop_assert_eq!(config.cache.password.expose(), password.as_str());
    }
}
