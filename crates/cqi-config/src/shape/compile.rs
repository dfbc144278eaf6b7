//! From the JSON schema that schemars derives to a shape.

mod variants;

use serde_json::{Map, Value};

use super::{Format, Kind, Section, Shape};

pub(super) fn root(schema: &Value) -> Shape {
    let open = Vec::new();
    compile(schema, &Definitions { root: schema, open })
}

/// The schema that references lead into, and those being followed, since a type may hold itself.
struct Definitions<'a> {
    root: &'a Value,
    open: Vec<&'a str>,
}

fn compile<'a>(schema: &'a Value, definitions: &Definitions<'a>) -> Shape {
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
        match definitions.follow(reference) {
            Some((target, definitions)) => adopt(&mut shape, compile(target, &definitions)),
            // A type inside itself: whatever it holds, nothing of it is shown.
            None => shape.secret = true,
        }
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

impl<'a> Definitions<'a> {
    /// Follows a reference; none where it leads back to what is being followed.
    fn follow(&self, reference: &'a str) -> Option<(&'a Value, Self)> {
        let target = self.root.pointer(reference.strip_prefix('#')?)?;
        let mut open = self.open.clone();
        open.push(reference);
        let root = self.root;
        (!self.open.contains(&reference)).then_some((target, Self { root, open }))
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

fn kind<'a>(schema: &'a Value, types: &[&str], definitions: &Definitions<'a>) -> Kind {
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
        ["number"] => {
            let max = match schema["format"].as_str() {
                Some("float") => f64::from(f32::MAX),
                _ => f64::MAX,
            };
            Kind::Number {
                min: schema["minimum"].as_f64().unwrap_or(-max).max(-max),
                max: schema["maximum"].as_f64().unwrap_or(max).min(max),
            }
        }
        ["boolean"] => Kind::Bool,
        _ => Kind::Any,
    }
}

fn object<'a>(schema: &'a Value, definitions: &Definitions<'a>) -> Kind {
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
    let mut fields = properties
        .iter()
        .map(|(name, field)| (name.clone(), compile(field, definitions)))
        .collect();
    let open = !variants::add(schema, definitions, &mut fields);
    Kind::Section(Section {
        fields,
        required: required
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        open,
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
