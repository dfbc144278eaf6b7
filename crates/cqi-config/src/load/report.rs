use std::fmt;

use figment::value::Value;
use serde_json::Value as Json;

use super::mask::{masked, masked_json};
use super::origins::Table;
use crate::Origin;
use crate::secret::REDACTED;
use crate::shape::{Kind, Shape};

/// The settings in force and which layer set each; secrets are redacted, and so are passwords in a URL
/// or after `password=` and the like.
///
/// It displays as one line for each setting:
///
/// ```
/// use cqi_config::{Config, Loader};
///
/// let loader = Loader::<Config>::new().env_prefix("CQI").env([
///     ("CQI_DATABASE_HOST", "db"),
///     ("CQI_DATABASE_PASSWORD", "swordfish"),
/// ]);
/// let (_config, origins) = loader.load_with_origins()?;
/// let report = origins.to_string();
/// assert!(report.contains(r#"database.host = "db"  # CQI_DATABASE_HOST"#));
/// assert!(report.contains(r#"database.password = "[redacted]"  # CQI_DATABASE_PASSWORD"#));
/// assert!(report.contains("database.port = 5432  # default"));
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origins(Vec<Setting>);

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The setting, such as `database.port`.
    pub path: String,
    /// The value as JSON; secrets in it are redacted.
    pub value: String,
    /// Which layer set it.
    pub origin: Origin,
}

impl Origins {
    pub(super) fn new(shape: &Shape, values: &Value, origins: &Table) -> Self {
        let mut settings = Vec::new();
        shape.each_leaf("", &mut |path, leaf| {
            if let Some(value) = values.find_ref(&path) {
                let value = plain(leaf, value).to_string();
                let origin = origins.of(&path);
                settings.push(Setting {
                    path,
                    value,
                    origin,
                });
            }
        });
        Self(settings)
    }

    /// Returns every setting, in the order of the struct.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    /// Returns one setting by its path, such as `database.port`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.path == path)
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Setting {
            path,
            value,
            origin,
        } in &self.0
        {
            writeln!(f, "{path} = {value}  # {origin}")?;
        }
        Ok(())
    }
}

/// Returns a value as JSON with its secrets redacted, and passwords in its texts.
pub(super) fn plain(shape: &Shape, value: &Value) -> Json {
    match (&shape.kind, value) {
        // Whether a secret is set is none.
        (_, Value::Empty(..)) => Json::Null,
        _ if shape.secret => match value.as_str() {
            Some("") => "".into(),
            _ => REDACTED.into(),
        },
        (Kind::Section(section), Value::Dict(_, entries)) => {
            let known = entries.iter().map(|(key, value)| {
                let field = section.field(key);
                (
                    key.clone(),
                    field.map_or_else(|| REDACTED.into(), |field| plain(field, value)),
                )
            });
            known.collect()
        }
        (Kind::Map(item), Value::Dict(_, entries)) => entries
            .iter()
            .map(|(key, value)| (masked(key), plain(item, value)))
            .collect(),
        (Kind::List { item, .. }, Value::Array(_, values)) => {
            values.iter().map(|value| plain(item, value)).collect()
        }
        (Kind::Size { .. }, Value::Num(_, size)) => {
            match size.to_u128().and_then(|size| u64::try_from(size).ok()) {
                Some(size) => crate::HumanSize::format(size).into(),
                None => Json::Null,
            }
        }
        _ => masked_json(serde_json::to_value(value).unwrap_or(Json::Null)),
    }
}
