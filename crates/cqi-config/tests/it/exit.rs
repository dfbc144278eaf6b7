//! `must_load` ends the process, so it runs in one of its own.

use std::process::Command;

use cqi_config::Config;

use crate::Files;

#[test]
fn must_load_prints_every_problem_and_exits_with_78() {
    let files = Files::new("log: {level: loud}\nserver: {port: 1}\n");
    let output = child(&files);
    assert_eq!(output.status.code(), Some(78));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("the settings have 2 problems"), "{stderr}");
    assert!(
        stderr.contains("config.yaml:2: server.port: unknown key"),
        "{stderr}"
    );
}

#[test]
fn must_load_returns_good_settings() {
    assert!(child(&Files::new("log: {level: warn}")).status.success());
}

fn child(files: &Files) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exit::in_a_process_of_its_own", "--nocapture"])
        .env("MUST_LOAD", files.path("config.yaml"))
        .output()
        .unwrap()
}

/// The child of the tests above; it has nothing to do when it runs by itself.
#[test]
fn in_a_process_of_its_own() {
    if let Some(path) = std::env::var_os("MUST_LOAD") {
        let config: Config = cqi_config::must_load(path, "CQI");
        assert_eq!(config.log.level, "warn");
    }
}
