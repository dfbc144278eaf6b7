use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// Returns the JSON schema of a settings struct, for editors and for checks in CI.
///
/// Doc comments become descriptions, garde's `range` and `length` become limits, secrets are
/// `writeOnly`, and keys that are not described are not allowed.
///
/// ```
/// let schema = cqi_config::schema::<cqi_config::Config>();
/// assert_eq!(schema["$defs"]["DatabaseConfig"]["properties"]["port"]["maximum"], 65535);
/// ```
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    let mut schema = generate::<T>();
    // An example in the doc comment of the struct is for programmers.
    if let Some(Value::String(doc)) = schema.get_mut("description") {
        let paragraph = doc.split("\n\n").next().unwrap_or_default().to_owned();
        *doc = paragraph;
    }
    close(&mut schema);
    let mut extended = Vec::new();
    reopen(&mut schema, &mut extended);
    for reference in extended {
        let target = reference.strip_prefix('#');
        let target = target.and_then(|at| schema.pointer_mut(at));
        if let Some(Value::Object(entries)) = target {
            entries.remove("additionalProperties");
        }
    }
    schema
}

/// Returns [`schema`] as text, with a line break at its end: what a checked-in file holds.
#[must_use]
pub fn schema_json<T: JsonSchema>() -> String {
    format!("{:#}\n", schema::<T>())
}

/// Returns the schema as the derives make it.
pub(crate) fn generate<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Refuses undescribed keys, and drops the defaults of whole sections, whose keys say them already.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            if entries.get("default").is_some_and(Value::is_object) && entries.contains_key("$ref")
            {
                entries.remove("default");
            }
            let described = entries.get("properties").is_some_and(Value::is_object);
            let elsewhere = ["oneOf", "anyOf", "allOf"]
                .iter()
                .any(|key| entries.contains_key(*key));
            if described && !elsewhere && entries.get("type").is_some_and(|name| name == "object") {
                entries
                    .entry("additionalProperties")
                    .or_insert(Value::Bool(false));
            }
            entries.values_mut().for_each(close);
        }
        Value::Array(entries) => entries.iter_mut().for_each(close),
        _ => {}
    }
}

/// Lets the variants of a flattened enum stand beside the keys around them, which are closed together;
/// collects the references of those that are described elsewhere.
fn reopen(schema: &mut Value, extended: &mut Vec<String>) {
    match schema {
        Value::Object(entries) => {
            let described = entries.get("properties").is_some_and(Value::is_object);
            if let (true, Some(Value::String(reference))) = (described, entries.get("$ref")) {
                extended.push(reference.clone());
                entries.remove("additionalProperties");
            }
            let mut flattened = false;
            for key in ["oneOf", "anyOf", "allOf"] {
                if let (true, Some(Value::Array(variants))) = (described, entries.get_mut(key)) {
                    flattened = true;
                    variants.iter_mut().for_each(open);
                }
            }
            if flattened && !entries.contains_key("additionalProperties") {
                entries.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
            }
            for value in entries.values_mut() {
                reopen(value, extended);
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                reopen(entry, extended);
            }
        }
        _ => {}
    }
}

fn open(variant: &mut Value) {
    let Value::Object(entries) = variant else {
        return;
    };
    entries.remove("additionalProperties");
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(Value::Array(variants)) = entries.get_mut(key) {
            variants.iter_mut().for_each(open);
        }
    }
}
