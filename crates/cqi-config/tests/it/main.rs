//! Behaviour of settings as a service and its operator meet them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic"
)]

mod defaults;
mod environment;
mod exit;
mod file;
mod generated;
mod own;
mod problems;
mod properties;
mod secrets;
mod variants;

use std::fs;

use cqi_config::{Config, ConfigError, Loader, Problem, Settings};
use tempfile::TempDir;

/// A folder with a `config.yaml`.
struct Files(TempDir);

impl Files {
    fn new(config: impl AsRef<[u8]>) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.add("config.yaml", config);
        files
    }

    /// Writes another file and returns its path.
    fn add(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn loader<T: Settings>(&self) -> Loader<T> {
        let none: [(&str, &str); 0] = [];
        Loader::new()
            .file(self.0.path().join("config.yaml"))
            .env_prefix("CQI")
            .env(none)
    }

    /// Takes the folder's path out of a text.
    fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    fn problems<T: Settings>(&self, loader: Loader<T>) -> String {
        let error = loader.load().err().expect("problems");
        self.relative(&format!("{error:#}"))
    }
}

fn from_env<const N: usize>(variables: [(&str, &str); N]) -> Loader<Config> {
    Loader::new().env_prefix("CQI").env(variables)
}

fn problems_of(error: &cqi_errors::Error) -> &[Problem] {
    use std::error::Error as _;
    error
        .source()
        .unwrap()
        .downcast_ref::<ConfigError>()
        .unwrap()
        .problems()
}

/// Loads a file with these texts and returns what is wrong with it.
fn problems(config: &str) -> String {
    let files = Files::new(config);
    files.problems(files.loader::<Config>())
}

/// Loads a file with this text.
fn loaded(config: &str) -> Config {
    Files::new(config).loader().load().unwrap()
}
