//! Types the values of a layer by the shape of the settings, and reports what does not fit.

use std::collections::HashMap;

use figment::value::{Dict, Empty, Tag, Value};

use super::environment::Environment;
use super::mask::masked;
use super::origins::Table;
use super::typed::{NO_UNIT, placeholder, shown, typed, untyped};
use crate::document::{Kind as Found, Node, Scalar};
use crate::interpolate::interpolate;
use crate::shape::{Kind, Section, Shape, join};
use crate::suggest::nearest;
use crate::{Origin, Problem};

/// Reads one layer. What does not fit is left out, so that the rest can still be checked.
pub(super) struct Reader<'a> {
    /// Makes the origin of a line.
    pub(super) origin: &'a dyn Fn(u64) -> Origin,
    /// The variables for `${..}`; none where a text means itself.
    pub(super) interpolate: Option<&'a Environment>,
    pub(super) origins: &'a mut Table,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn read(&mut self, shape: &Shape, path: &str, node: Node) -> Option<Value> {
        let origin = (self.origin)(node.line);
        let read = match (&shape.kind, node.kind) {
            (Kind::Section(_), Found::Null) if !shape.nullable => Some(Dict::new().into()),
            (_, Found::Null) if shape.nullable => Some(Value::Empty(Tag::Default, Empty::None)),
            (Kind::Section(section), Found::Map(entries)) => self.section(section, path, entries),
            (Kind::Map(item), Found::Map(entries)) => {
                let entries = self.distinct(path, entries);
                let read = entries.into_iter().filter_map(|(key, node)| {
                    Some((key.clone(), self.read(item, &join(path, &key), node)?))
                });
                Some(read.collect::<Dict>().into())
            }
            (Kind::List { item, min, max }, Found::List(nodes)) => {
                self.origins.clear_inside(path);
                if nodes.len() < *min || nodes.len() > *max {
                    let message = if nodes.len() < *min {
                        "too short"
                    } else {
                        "too long"
                    };
                    let allowed = match (*min, *max) {
                        (1, usize::MAX) => "a list that is not empty".to_owned(),
                        (min, usize::MAX) => format!("a list of at least {min} entries"),
                        (min, max) => format!("a list of {min} to {max} entries"),
                    };
                    self.problems
                        .push(Problem::new(path, &origin, message).allowed(allowed));
                    return None;
                }
                // A place is kept for what does not fit, so that the other entries keep theirs.
                let read = nodes.into_iter().enumerate().map(|(index, node)| {
                    let read = self.read(item, &format!("{path}[{index}]"), node);
                    read.unwrap_or_else(|| placeholder(item))
                });
                Some(read.collect::<Vec<_>>().into())
            }
            (Kind::Any, kind) => self.any(
                path,
                Node {
                    line: node.line,
                    kind,
                },
            ),
            (Kind::Section(_) | Kind::Map(_) | Kind::List { .. }, found) => {
                self.mismatch(shape, path, &origin, &found)
            }
            (_, Found::Scalar(scalar)) => self.scalar(shape, path, &origin, scalar),
            (_, found) => self.mismatch(shape, path, &origin, &found),
        };
        match (&shape.kind, &read) {
            (Kind::Section(_), _) => self.origins.set_section(path, origin),
            (_, Some(_)) => self.origins.set(path, origin),
            (_, None) => {}
        }
        read
    }

    fn section(
        &mut self,
        section: &Section,
        path: &str,
        entries: Vec<(String, Node)>,
    ) -> Option<Value> {
        let mut read = Dict::new();
        for (key, node) in self.distinct(path, entries) {
            let path = join(path, &key);
            let value = match section.field(&key) {
                Some(field) => self.read(field, &path, node),
                None if section.open => self.any(&path, node),
                None => {
                    // The value is not shown: the key may be a misspelled secret's.
                    let problem =
                        Problem::new(masked(&path), &(self.origin)(node.line), "unknown key");
                    self.problems
                        .push(problem.suggestion(nearest(&key, section.names())));
                    None
                }
            };
            read.extend(value.map(|value| (key, value)));
        }
        Some(read.into())
    }

    /// Reports keys that are set twice and keeps the first.
    fn distinct(&mut self, path: &str, entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
        let mut lines = HashMap::new();
        let mut kept = Vec::new();
        for (key, node) in entries {
            match lines.get(&key) {
                Some(first) => {
                    let origin = (self.origin)(node.line);
                    let message = format!("set twice; first on line {first}");
                    self.problems
                        .push(Problem::new(join(path, &key), &origin, message));
                }
                None => {
                    lines.insert(key.clone(), node.line);
                    kept.push((key, node));
                }
            }
        }
        kept
    }

    /// Replaces `${..}`; none when that fails, which is reported.
    fn expand(&mut self, path: &str, origin: &Origin, scalar: Scalar) -> Option<Scalar> {
        let Some(environment) = self.interpolate else {
            return Some(scalar);
        };
        match interpolate(&scalar.text, |name| environment.get(name)) {
            Ok(None) => Some(scalar),
            Ok(Some(text)) => Some(Scalar {
                text,
                quoted: false,
                written: Some(scalar.text),
            }),
            Err(message) => {
                self.problems.push(Problem::new(path, origin, message));
                None
            }
        }
    }

    fn scalar(
        &mut self,
        shape: &Shape,
        path: &str,
        origin: &Origin,
        scalar: Scalar,
    ) -> Option<Value> {
        let scalar = self.expand(path, origin, scalar)?;
        if shape.nullable && scalar.text.is_empty() {
            return Some(Value::Empty(Tag::Default, Empty::None));
        }
        match typed(shape, &scalar) {
            Ok(value) => Some(value),
            Err(message) => {
                let suggestion = match &shape.kind {
                    Kind::Choice(words) => nearest(&scalar.text, words.iter().map(String::as_str)),
                    Kind::Text { .. } if message == NO_UNIT => Some(format!("{}s", scalar.text)),
                    _ => None,
                };
                let value = (!shape.secret).then(|| shown(&scalar));
                let problem = Problem::new(path, origin, message).value(value);
                self.problems
                    .push(problem.allowed(shape.allowed()).suggestion(suggestion));
                None
            }
        }
    }

    fn mismatch(
        &mut self,
        shape: &Shape,
        path: &str,
        origin: &Origin,
        found: &Found,
    ) -> Option<Value> {
        let message = match found {
            Found::Null => "has no value",
            Found::Scalar(_) => "is a single value",
            Found::List(_) => "is a list",
            Found::Map(_) => "has keys of its own",
        };
        self.problems
            .push(Problem::new(path, origin, message).allowed(shape.allowed()));
        None
    }

    /// Reads what the schema does not describe, typed as YAML would.
    fn any(&mut self, path: &str, node: Node) -> Option<Value> {
        let origin = (self.origin)(node.line);
        self.origins.set(path, origin.clone());
        Some(match node.kind {
            Found::Null => Value::Empty(Tag::Default, Empty::None),
            Found::Scalar(scalar) => untyped(&self.expand(path, &origin, scalar)?),
            Found::List(nodes) => {
                let nodes = nodes.into_iter().enumerate();
                let read = nodes.filter_map(|(i, node)| self.any(&format!("{path}[{i}]"), node));
                read.collect::<Vec<_>>().into()
            }
            Found::Map(entries) => {
                let entries = self.distinct(path, entries).into_iter();
                let read = entries.filter_map(|(key, node)| {
                    let value = self.any(&join(path, &key), node)?;
                    Some((key, value))
                });
                read.collect::<Dict>().into()
            }
        })
    }
}
