use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::schema::generate;
use crate::secret::REDACTED;
use crate::shape::{Kind, Shape};
use crate::{HumanDuration, HumanSize};

/// The widest line of a comment.
const WIDTH: usize = 100;

/// Returns a commented sample file of a settings struct: every setting with its doc comment, what is
/// allowed, and its default. It loads as it is, and gives the defaults.
///
/// ```
/// let sample = cqi_config::sample::<cqi_config::Config>();
/// assert!(sample.contains("\n  # The port of each host that names none. Default: 5432.\n"));
/// assert!(sample.contains("\n  port: 5432\n"));
/// ```
#[must_use]
pub fn sample<T: JsonSchema + Serialize + Default>() -> String {
    let shape = Shape::of(&generate::<T>());
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    let mut text = String::new();
    section(&mut text, &shape, &defaults, 0);
    text
}

fn section(text: &mut String, shape: &Shape, defaults: &Value, depth: usize) {
    let Kind::Section(section) = &shape.kind else {
        return;
    };
    let indent = "  ".repeat(depth);
    for (name, field) in &section.fields {
        if !text.is_empty() && depth == 0 {
            text.push('\n');
        }
        comment(text, &field.doc, &indent);
        if let Kind::Choice(words) = &field.kind {
            comment(text, &format!("One of {}.", words.join(", ")), &indent);
        }
        let default = &defaults[name];
        match (&field.kind, default) {
            // The setting of another variant than the default one.
            _ if defaults.get(name).is_none() => {
                let _ = writeln!(text, "{indent}# {name}:");
            }
            (Kind::Section(_), Value::Object(_)) => {
                let _ = writeln!(text, "{indent}{name}:");
                self::section(text, field, default, depth + 1);
            }
            // A secret whose default is not empty serializes to no value, which must not replace it.
            _ if is_redacted(default) => {
                let _ = writeln!(text, "{indent}# {name}:");
            }
            _ => {
                let _ = writeln!(text, "{indent}{name}: {}", scalar(default));
            }
        }
    }
}

fn is_redacted(default: &Value) -> bool {
    match default {
        Value::String(text) => text == REDACTED,
        Value::Array(items) => items.iter().any(is_redacted),
        Value::Object(entries) => entries.values().any(is_redacted),
        _ => false,
    }
}

/// Writes JSON, which is YAML, without quotes around what is text anyway.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(scalar).collect();
            format!("[{}]", items.join(", "))
        }
        value => value.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 4] = ["true", "false", "null", "no"];
    let with_unit = text.ends_with(|c: char| c.is_ascii_alphabetic()) && !text.contains(' ');
    if with_unit && (HumanDuration::read(text).is_some() || HumanSize::read(text).is_some()) {
        return true;
    }
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Writes the first paragraph of a doc comment, wrapped.
fn comment(text: &mut String, doc: &str, indent: &str) {
    let paragraph = doc.split("\n\n").next().unwrap_or_default();
    let mut line = String::new();
    for word in paragraph.split_whitespace() {
        if !line.is_empty() && indent.len() + 3 + line.len() + word.len() > WIDTH {
            let _ = writeln!(text, "{indent}# {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(text, "{indent}# {line}");
    }
}
