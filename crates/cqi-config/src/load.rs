//! Settings from defaults, a file, the environment and mounted secrets.

mod environment;
mod file;
mod finish;
mod layer;
mod loader;
mod mask;
mod origins;
mod read;
mod report;
mod typed;
pub(crate) mod variables;

use std::path::Path;

pub use loader::{Loader, Settings};
pub use report::{Origins, Setting};

/// Loads settings from a file and the environment.
///
/// ```no_run
/// use cqi_config::Config;
///
/// let config: Config = cqi_config::load("config.yaml", "CQI")?;
/// # Ok::<(), cqi_errors::Error>(())
/// ```
///
/// # Errors
/// As for [`Loader::load`].
pub fn load<T: Settings>(path: impl AsRef<Path>, env_prefix: &str) -> cqi_errors::Result<T> {
    Loader::new()
        .file(path.as_ref())
        .env_prefix(env_prefix)
        .load()
}

/// Loads settings from the environment alone.
///
/// # Errors
/// As for [`Loader::load`].
pub fn load_env<T: Settings>(env_prefix: &str) -> cqi_errors::Result<T> {
    Loader::new().env_prefix(env_prefix).load()
}

/// Loads settings as [`load`] does, or prints every problem to standard error and ends the process
/// with exit code 78, which `sysexits.h` calls a configuration error.
///
/// It is for the first line of a `main` that returns nothing; destructors do not run.
#[must_use]
pub fn must_load<T: Settings>(path: impl AsRef<Path>, env_prefix: &str) -> T {
    Loader::new()
        .file(path.as_ref())
        .env_prefix(env_prefix)
        .must_load()
}
