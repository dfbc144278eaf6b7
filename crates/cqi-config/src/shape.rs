//! What a settings struct looks like, compiled from its JSON schema.

mod compile;

use serde_json::Value;

use crate::{HumanDuration, HumanSize, timestamp};

/// A setting or a section of settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    /// The doc comment.
    pub(crate) doc: String,
    /// Whether `null` is a value.
    pub(crate) nullable: bool,
    /// Whether the value must never be shown.
    pub(crate) secret: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A struct.
    Section(Section),
    /// Keys of the operator's choice.
    Map(Box<Shape>),
    List {
        item: Box<Shape>,
        min: usize,
        max: usize,
    },
    /// One of some words.
    Choice(Vec<String>),
    Text {
        format: Format,
        min: usize,
        max: usize,
    },
    /// Bytes, as a number or as text such as `16MiB`.
    Size {
        min: u64,
    },
    Integer {
        min: i128,
        max: i128,
    },
    Number {
        min: f64,
        max: f64,
    },
    Bool,
    /// What the schema does not pin down; serde decides.
    Any,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Section {
    pub(crate) fields: Vec<(String, Shape)>,
    pub(crate) required: Vec<String>,
    /// Whether keys besides the fields may be meant for something the schema describes otherwise.
    pub(crate) open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Free,
    Duration,
    Timestamp,
    Ip,
}

impl Section {
    pub(crate) fn field(&self, name: &str) -> Option<&Shape> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, shape)| shape)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

impl Shape {
    /// Compiles the schema of a settings struct.
    pub(crate) fn of(schema: &Value) -> Self {
        compile::root(schema)
    }

    /// Says whether it is one secret text, which a file of its own may hold.
    pub(crate) fn is_secret(&self) -> bool {
        self.secret && matches!(self.kind, Kind::Text { .. })
    }

    /// Says whether a secret is anywhere inside.
    pub(crate) fn holds_secret(&self) -> bool {
        self.secret
            || match &self.kind {
                Kind::Section(section) => {
                    section.fields.iter().any(|(_, field)| field.holds_secret())
                }
                Kind::Map(item) | Kind::List { item, .. } => item.holds_secret(),
                _ => false,
            }
    }

    /// Calls back for each setting that is not a section, with its path.
    pub(crate) fn each_leaf<'a>(&'a self, path: &str, found: &mut impl FnMut(String, &'a Self)) {
        match &self.kind {
            Kind::Section(section) => {
                for (name, field) in &section.fields {
                    field.each_leaf(&join(path, name), found);
                }
            }
            _ => found(path.to_owned(), self),
        }
    }

    /// Says what a value may be, to complete "expected".
    pub(crate) fn allowed(&self) -> String {
        let allowed = match &self.kind {
            Kind::Section(_) | Kind::Map(_) => "keys with values".to_owned(),
            Kind::List { item, .. } => format!("a list, each entry {}", item.allowed()),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Text { .. } if self.secret => "a secret text".to_owned(),
            Kind::Text {
                format: Format::Duration,
                ..
            } => HumanDuration::ALLOWED.to_owned(),
            Kind::Text {
                format: Format::Timestamp,
                ..
            } => timestamp::ALLOWED.to_owned(),
            Kind::Text {
                format: Format::Ip, ..
            } => "an IP address such as 127.0.0.1".to_owned(),
            Kind::Text {
                min: 0,
                max: usize::MAX,
                ..
            } => "a text".to_owned(),
            Kind::Text {
                min: 1,
                max: usize::MAX,
                ..
            } => "a text that is not empty".to_owned(),
            Kind::Text {
                min,
                max: usize::MAX,
                ..
            } => format!("a text of at least {min} bytes"),
            Kind::Text { min, max, .. } => format!("a text of {min} to {max} bytes"),
            Kind::Size { min: 0 } => HumanSize::ALLOWED.to_owned(),
            Kind::Size { min } => {
                format!(
                    "{}, at least {}",
                    HumanSize::ALLOWED,
                    HumanSize::format(*min)
                )
            }
            Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
            Kind::Number { min, max } => {
                let limit = f64::from(f32::MAX);
                match (*min > -limit, *max < limit) {
                    (true, true) => format!("a number from {min} to {max}"),
                    (true, false) => format!("a number of at least {min}"),
                    (false, true) => format!("a number of at most {max}"),
                    (false, false) if *max == limit => format!("a number up to {limit:e}"),
                    (false, false) => "a number".to_owned(),
                }
            }
            Kind::Bool => "true or false".to_owned(),
            Kind::Any => "another form".to_owned(),
        };
        if self.nullable {
            format!("{allowed}, or null")
        } else {
            allowed
        }
    }
}

/// Appends a key to a path.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
