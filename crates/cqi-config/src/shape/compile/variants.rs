//! The fields of a struct that come from a flattened enum: those of all its variants.

use serde_json::{Value, json};

use super::{Definitions, compile};
use crate::shape::{Kind, Shape};

type Fields = Vec<(String, Shape)>;

/// Adds the fields that the schema describes beside its own properties. False when not all can be
/// told, so that other keys may mean something too.
pub(super) fn add<'a>(
    schema: &'a Value,
    definitions: &Definitions<'a>,
    fields: &mut Fields,
) -> bool {
    let rest = &schema["additionalProperties"];
    if rest.is_object() || *rest == true || schema["patternProperties"].is_object() {
        return false;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let Some((target, definitions)) = definitions.follow(reference) else {
            return false;
        };
        if !add_all(target, &definitions, fields) {
            return false;
        }
    }
    let mut alternatives = ["oneOf", "anyOf", "allOf"]
        .into_iter()
        .filter_map(|key| schema[key].as_array())
        .flatten();
    // An empty schema is the variant of an `Option` that is absent.
    let absent = |other: &Value| other["type"] == "null" || *other == json!({});
    alternatives.all(|other| absent(other) || add_all(other, definitions, fields))
}

/// Adds the properties of a schema and what it describes beside them.
fn add_all<'a>(schema: &'a Value, definitions: &Definitions<'a>, fields: &mut Fields) -> bool {
    let described = ["properties", "$ref", "oneOf", "anyOf", "allOf"];
    if schema["type"] != "object" && described.iter().all(|key| schema[key].is_null()) {
        return false;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let field = compile(property, definitions);
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => either(known, field),
            None => fields.push((name.clone(), field)),
        }
    }
    add(schema, definitions, fields)
}

/// Widens a field to what it is in another variant too.
fn either(field: &mut Shape, other: Shape) {
    let secret = field.holds_secret() || other.holds_secret();
    field.nullable |= other.nullable;
    field.secret |= other.secret;
    match (&mut field.kind, other.kind) {
        (Kind::Choice(words), Kind::Choice(others)) => {
            let others = others.into_iter().filter(|word| !words.contains(word));
            let others: Vec<_> = others.collect();
            words.extend(others);
        }
        (
            Kind::Integer { min, max },
            Kind::Integer {
                min: low,
                max: high,
            },
        ) => {
            (*min, *max) = (low.min(*min), high.max(*max));
        }
        (known, other) if *known == other => {}
        (known, _) => {
            *known = Kind::Any;
            field.secret = secret;
        }
    }
}
