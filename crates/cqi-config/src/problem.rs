use std::fmt::{self, Write as _};

use crate::Origin;

/// The longest part of a path that a problem shows.
const MAX_PATH: usize = 200;

/// One thing that is wrong with the settings.
///
/// It displays on one line, such as
/// `config.yaml:7: database.port = 99999: out of range; expected an integer from 1 to 65535`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The setting, such as `database.port` or `auth.api_keys[0].id`; empty when it is about none.
    pub path: String,
    /// The value as it was written; none where it is, or may be, a secret.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// What is wrong.
    pub message: String,
    /// What is allowed.
    pub allowed: Option<String>,
    /// The key, variable or value that was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    pub(crate) fn new(
        path: impl Into<String>,
        origin: &Origin,
        message: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            value: None,
            origin: origin.clone(),
            message: message.into(),
            allowed: None,
            suggestion: None,
        }
    }

    pub(crate) fn value(mut self, value: Option<String>) -> Self {
        self.value = value;
        self
    }

    pub(crate) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    pub(crate) fn suggestion(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            // A key is anybody's text: it must not fill or break the line.
            for char in self.path.chars().take(MAX_PATH) {
                match char.is_control() {
                    true => write!(f, "{}", char.escape_default())?,
                    false => f.write_char(char)?,
                }
            }
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; expected {allowed}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean {suggestion}?")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with the settings: the source of the error that loading returns.
///
/// It displays as one line for each problem.
///
/// ```
/// use std::error::Error as _;
/// use cqi_config::{Config, ConfigError, Loader};
///
/// let error = Loader::<Config>::new()
///     .env_prefix("CQI")
///     .env([("CQI_DATABASE_PORT", "high"), ("CQI_DATABSE_HOST", "db")])
///     .load()
///     .unwrap_err();
/// let problems = error.source().unwrap().downcast_ref::<ConfigError>().unwrap().problems();
/// assert_eq!(problems.len(), 2);
/// assert_eq!(problems[0].path, "database.port");
/// ```
#[derive(Clone, Debug)]
pub struct ConfigError(Vec<Problem>);

impl ConfigError {
    /// Returns the problems: those of the file by line, then those of variables by name.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Makes one error of all problems.
pub(crate) fn error(mut problems: Vec<Problem>) -> cqi_errors::Error {
    problems.sort_by(|a, b| a.origin.cmp(&b.origin));
    let message = match problems.len() {
        1 => "the settings have a problem".to_owned(),
        count => format!("the settings have {count} problems"),
    };
    cqi_errors::Error::new(cqi_errors::Kind::InvalidInput, message)
        .with_source(ConfigError(problems))
}
