use std::fmt;
use std::path::PathBuf;

/// Where the value of a setting came from.
///
/// It displays as an operator would look for it: `config.yaml:12`, `CQI_DATABASE_PORT`,
/// `CQI_DATABASE_PASSWORD_FILE (/run/secrets/password)` or `default`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// The file.
    #[non_exhaustive]
    File {
        /// The path as it was given to the loader.
        path: PathBuf,
        /// The line, from 1; none for the file as a whole.
        line: Option<u64>,
    },
    /// An environment variable, by name.
    Variable(String),
    /// A file that an environment variable names, such as a mounted secret.
    #[non_exhaustive]
    SecretFile {
        /// The name of the variable.
        variable: String,
        /// The path that it holds.
        path: PathBuf,
    },
    /// The settings struct itself.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } if path.as_os_str().is_empty() => f.write_str("the file"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::SecretFile { variable, path } => write!(f, "{variable} ({})", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
