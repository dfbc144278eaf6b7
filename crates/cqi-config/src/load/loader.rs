use std::ffi::OsString;
use std::io::Write as _;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use figment::{Figment, Profile};
use garde::Validate;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::environment::Environment;
use super::file;
use super::finish;
use super::layer::Layer;
use super::origins::Table;
use super::read::Reader;
use super::report::Origins;
use super::variables::{self, Variables};
use crate::document::{self, Kind as Found};
use crate::problem::error;
use crate::schema::generate;
use crate::shape::{Kind, Shape};
use crate::{Origin, Problem};

/// The exit code for a configuration error, from `sysexits.h`.
const EX_CONFIG: i32 = 78;

/// The largest file of settings.
const MAX_FILE: u64 = 1 << 20;

/// What a struct of settings must be able to do; five derives make it so.
///
/// Its `Default` holds the defaults. A setting that must be given has a default that its `garde` rule
/// refuses, such as an empty text with `#[garde(length(min = 1))]`.
pub trait Settings:
    Default + DeserializeOwned + Serialize + JsonSchema + Validate<Context = ()>
{
}

impl<T> Settings for T where
    T: Default + DeserializeOwned + Serialize + JsonSchema + Validate<Context = ()>
{
}

/// Loads settings of any struct, such as one that flattens [`Config`](crate::Config) beside sections
/// of its own.
///
/// Later layers replace earlier ones, setting by setting:
/// 1. the struct's `Default`, except secrets;
/// 2. the file, YAML or JSON, at most 1 MiB; `${VAR}` and `${VAR:-default}` in its texts are replaced,
///    and `$${` stands for `${`;
/// 3. variables such as `CQI_DATABASE_MAX_CONNECTIONS`; a list is separated by commas or JSON, a map
///    or a list of structs is JSON, and nothing is what can be absent;
/// 4. variables such as `CQI_DATABASE_PASSWORD_FILE`, for each secret: the path of a file that holds
///    it, at most 64 KiB and not empty, without the line break at its end;
/// 5. `LOG_LEVEL`, unless empty, for `log.level`.
///
/// Unknown keys and unknown variables with the prefix are problems, except `CQI_TEST_*`.
///
/// ```
/// use cqi_config::{Config, Loader};
///
/// let config: Config = Loader::new()
///     .env_prefix("CQI")
///     .env([("CQI_DATABASE_HOST", "db-1,db-2"), ("LOG_LEVEL", "debug")])
///     .load()?;
/// assert_eq!(config.database.host, "db-1,db-2");
/// assert_eq!(config.log.level, "debug");
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[must_use]
pub struct Loader<T> {
    file: Option<PathBuf>,
    env_prefix: Option<String>,
    env: Option<Vec<(OsString, OsString)>>,
    settings: PhantomData<fn() -> T>,
}

/// The environment may hold any secret, so only what was asked for is shown.
impl<T> std::fmt::Debug for Loader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("file", &self.file)
            .field("env_prefix", &self.env_prefix)
            .finish_non_exhaustive()
    }
}

impl<T> Default for Loader<T> {
    fn default() -> Self {
        Self {
            file: None,
            env_prefix: None,
            env: None,
            settings: PhantomData,
        }
    }
}

impl<T: Settings> Loader<T> {
    /// Starts with the defaults alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a YAML or JSON file, which must exist.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().to_owned());
        self
    }

    /// Adds the environment variables that begin with the prefix and an underscore.
    pub fn env_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.env_prefix = Some(prefix.into());
        self
    }

    /// Reads variables from here rather than from the process's environment.
    pub fn env<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.env = Some(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        );
        self
    }

    /// Loads the settings.
    ///
    /// # Errors
    /// `InvalidInput` with every problem there is: `{:#}` and `Debug` print one line for each, and the
    /// error's source is a [`ConfigError`](crate::ConfigError). The service should not start.
    pub fn load(self) -> cqi_errors::Result<T> {
        self.load_with_origins().map(|(settings, _)| settings)
    }

    /// Loads the settings and says which layer set what, for the start of a log or a `--print-config`.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_with_origins(self) -> cqi_errors::Result<(T, Origins)> {
        let shape = Shape::of(&generate::<T>());
        let environment = match self.env {
            Some(variables) => Environment::new(variables),
            None => Environment::new(std::env::vars_os()),
        };
        let (mut origins, mut problems) = (Table::default(), Vec::new());
        let mut figment = Figment::from(finish::defaults::<T>(&shape)?);

        let mut whole = true;
        if let Some(path) = &self.file {
            match read_file(path, &shape, &environment, &mut origins, &mut problems) {
                Some(layer) => figment = figment.merge(layer),
                None => whole = false,
            }
        }
        if let Some(prefix) = &self.env_prefix {
            let variables = Variables::new(prefix, &shape);
            for layer in variables.layers(&environment, &mut origins, &mut problems) {
                figment = figment.merge(layer);
            }
        }
        if let Some(layer) = log_level(&shape, &environment, &mut origins, &mut problems) {
            figment = figment.merge(layer);
        }

        let data = figment::Provider::data(&figment).unwrap_or_default();
        let mut values = data
            .get(&Profile::Default)
            .cloned()
            .unwrap_or_default()
            .into();
        finish::missing(&shape, "", &mut values, &origins, &mut problems);
        let settings = finish::settings::<T>(&shape, &mut values, &origins, &mut problems);
        // Without the file, the rules would complain about what it may well say.
        if let (Some(settings), true) = (&settings, whole) {
            finish::validate(settings, &shape, &values, &origins, &mut problems);
        }
        match settings {
            Some(settings) if problems.is_empty() => {
                Ok((settings, Origins::new(&shape, &values, &origins)))
            }
            _ => Err(error(problems)),
        }
    }

    /// Loads the settings, or prints every problem to standard error and ends the process with exit
    /// code 78, which `sysexits.h` calls a configuration error. Destructors do not run.
    #[must_use]
    pub fn must_load(self) -> T {
        self.load().unwrap_or_else(|error| {
            // Logs do not exist before settings do, and a failed write has nowhere to be told.
            let _ = writeln!(std::io::stderr().lock(), "{error:#}");
            std::process::exit(EX_CONFIG)
        })
    }
}

fn read_file(
    path: &Path,
    shape: &Shape,
    environment: &Environment,
    origins: &mut Table,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    let origin = |line| Origin::File {
        path: path.to_owned(),
        line,
    };
    let refuse = |line, message: String| Problem::new("", &origin(line), message);
    let root = match file::read(path, MAX_FILE) {
        Ok(source) => document::parse(&source),
        Err(message) => {
            problems.push(refuse(None, message));
            return None;
        }
    };
    match root {
        Ok(root) if matches!(root.kind, Found::Null) => {
            problems.push(refuse(
                None,
                "holds no settings; write {} if that is meant".to_owned(),
            ));
        }
        Ok(root) if !matches!(root.kind, Found::Map(_)) => {
            problems.push(refuse(
                Some(root.line),
                "holds no keys with values".to_owned(),
            ));
        }
        Ok(root) => {
            let mut reader = Reader {
                origin: &|line| origin(Some(line)),
                interpolate: Some(environment),
                origins,
                problems,
            };
            let values = reader.read(shape, "", root)?;
            return Some(Layer {
                name: path.display().to_string(),
                values,
            });
        }
        Err(refused) => problems.push(refuse(refused.line, refused.message)),
    }
    None
}

fn log_level(
    shape: &Shape,
    environment: &Environment,
    origins: &mut Table,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    let text = environment
        .get("LOG_LEVEL")
        .filter(|text| !text.is_empty())?;
    let field = |shape: &'_ Shape, name| match &shape.kind {
        Kind::Section(section) => section.field(name).cloned(),
        _ => None,
    };
    let level = field(&field(shape, "log")?, "level")?;
    let origin = Origin::Variable("LOG_LEVEL".to_owned());
    variables::set(&level, "log.level", text, &origin, origins, problems)
}
