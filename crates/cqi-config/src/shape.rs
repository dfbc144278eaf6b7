//! What a settings struct looks like, compiled from its JSON schema.

use serde_json::{Map, Value};

use crate::{HumanDuration, HumanSize, timestamp};

/// A setting or a section of settings.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    /// The doc comment.
    pub(crate) doc: String,
    /// Whether `null` is a value.
    pub(crate) nullable: bool,
    /// Whether the value must never be shown.
    pub(crate) secret: bool,
}

#[derive(Clone, Debug)]
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

#[derive(Clone, Debug)]
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
        compile(
            schema,
            &Definitions {
                root: schema,
                open: Vec::new(),
            },
        )
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
            Kind::Number { min, max } if min.is_finite() && max.is_finite() => {
                format!("a number from {min} to {max}")
            }
            Kind::Number { .. } => "a number".to_owned(),
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

/// The schema that references lead into, and those being followed, since a type may hold itself.
struct Definitions<'a> {
    root: &'a Value,
    open: Vec<&'a str>,
}

fn compile(schema: &Value, definitions: &Definitions<'_>) -> Shape {
    let mut shape = Shape {
        kind: Kind::Any,
        doc: schema["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        nullable: false,
        secret: schema["writeOnly"] == true,
    };
    if let Some(reference) = schema["$ref"].as_str() {
        follow(reference, definitions, &mut shape);
        return shape;
    }
    let types = types(schema);
    shape.nullable = types.contains(&"null");
    if let Some(words) = words(schema) {
        shape.kind = Kind::Choice(words);
    } else if let Some(alternatives) = schema["anyOf"].as_array().or(schema["oneOf"].as_array())
        && schema["properties"].is_null()
    {
        let (nulls, others): (Vec<_>, Vec<_>) = alternatives
            .iter()
            .partition(|schema| schema["type"] == "null");
        shape.nullable |= !nulls.is_empty();
        match others.as_slice() {
            [only] => adopt(&mut shape, compile(only, definitions)),
            _ => {
                let mut compiled = others.iter().map(|other| compile(other, definitions));
                shape.secret |= compiled.any(|other| other.holds_secret());
            }
        }
    } else {
        shape.kind = kind(schema, &types, definitions);
    }
    if matches!(shape.kind, Kind::Any) {
        shape.secret |= mentions_secret(schema);
    }
    shape
}

fn follow(reference: &str, definitions: &Definitions<'_>, shape: &mut Shape) {
    let target = reference
        .strip_prefix('#')
        .and_then(|at| definitions.root.pointer(at));
    match target {
        Some(target) if !definitions.open.contains(&reference) => {
            let mut open = definitions.open.clone();
            open.push(reference);
            let definitions = Definitions {
                root: definitions.root,
                open,
            };
            adopt(shape, compile(target, &definitions));
        }
        // A type inside itself: whatever it holds, nothing of it is shown.
        _ => shape.secret = true,
    }
}

/// Takes over what a reference or an alternative says; the doc comment beside it comes first.
fn adopt(shape: &mut Shape, other: Shape) {
    shape.kind = other.kind;
    shape.nullable |= other.nullable;
    shape.secret |= other.secret;
    if shape.doc.is_empty() {
        shape.doc = other.doc;
    }
}

fn kind(schema: &Value, types: &[&str], definitions: &Definitions<'_>) -> Kind {
    let count = |key: &str| {
        schema[key]
            .as_u64()
            .and_then(|count| usize::try_from(count).ok())
    };
    let set: Vec<_> = types
        .iter()
        .copied()
        .filter(|name| *name != "null")
        .collect();
    match set.as_slice() {
        ["object"] => object(schema, definitions),
        ["array"] if schema["items"].is_object() => Kind::List {
            item: Box::new(compile(&schema["items"], definitions)),
            min: count("minItems").unwrap_or(0),
            max: count("maxItems").unwrap_or(usize::MAX),
        },
        ["string"] => Kind::Text {
            format: match schema["format"].as_str() {
                Some("human-duration") => Format::Duration,
                Some("date-time") => Format::Timestamp,
                Some("ip") => Format::Ip,
                _ => Format::Free,
            },
            min: count("minLength").unwrap_or(0),
            max: count("maxLength").unwrap_or(usize::MAX),
        },
        ["string", "integer"] if schema["format"] == "human-size" => Kind::Size {
            min: schema["minimum"].as_u64().unwrap_or(0),
        },
        ["integer"] => {
            let (min, max) = integers(schema["format"].as_str().unwrap_or_default());
            let bound = |key: &str| {
                schema[key]
                    .as_number()
                    .and_then(serde_json::Number::as_i128)
            };
            Kind::Integer {
                min: bound("minimum").unwrap_or(min).max(min),
                max: bound("maximum").unwrap_or(max).min(max),
            }
        }
        ["number"] => Kind::Number {
            min: schema["minimum"].as_f64().unwrap_or(f64::NEG_INFINITY),
            max: schema["maximum"].as_f64().unwrap_or(f64::INFINITY),
        },
        ["boolean"] => Kind::Bool,
        _ => Kind::Any,
    }
}

fn object(schema: &Value, definitions: &Definitions<'_>) -> Kind {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let rest = &schema["additionalProperties"];
    if properties.is_empty() {
        return match rest.is_object() {
            true => Kind::Map(Box::new(compile(rest, definitions))),
            false => Kind::Any,
        };
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let elsewhere = ["oneOf", "anyOf", "allOf", "patternProperties"];
    Kind::Section(Section {
        fields: properties
            .iter()
            .map(|(name, field)| (name.clone(), compile(field, definitions)))
            .collect(),
        required: required
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        open: rest.is_object()
            || *rest == true
            || elsewhere.iter().any(|key| schema[key].is_array()),
    })
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Returns the words of an enum whose variants hold nothing.
fn words(schema: &Value) -> Option<Vec<String>> {
    if let Some(word) = schema["const"].as_str() {
        return Some(vec![word.to_owned()]);
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter(|word| !word.is_null());
        return words.map(|word| word.as_str().map(str::to_owned)).collect();
    }
    let alternatives = schema["oneOf"].as_array()?;
    let words: Option<Vec<_>> = alternatives.iter().map(words).collect();
    words.map(|words| words.concat())
}

fn mentions_secret(schema: &Value) -> bool {
    match schema {
        Value::Object(entries) => {
            entries.get("writeOnly").is_some_and(|mark| mark == true)
                || entries.values().any(mentions_secret)
        }
        Value::Array(entries) => entries.iter().any(mentions_secret),
        _ => false,
    }
}

fn integers(format: &str) -> (i128, i128) {
    match format {
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint" | "uint64" => (0, u64::MAX.into()),
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}
