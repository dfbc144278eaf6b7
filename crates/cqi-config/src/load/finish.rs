//! From merged values to checked settings.

use figment::error::Kind as Refusal;
use figment::value::{Dict, Value};

use super::layer::Layer;
use super::loader::Settings;
use super::mask::masked;
use super::origins::Table;
use super::report::plain;
use super::typed::placeholder;
use crate::Problem;
use crate::secret::REDACTED;
use crate::shape::{Kind, Shape, join};

/// Makes the first layer of the struct's `Default`. A secret serializes to nothing of use, so one
/// that is not empty is left to serde.
pub(super) fn defaults<T: Settings>(shape: &Shape) -> cqi_errors::Result<Layer> {
    let mut values = Value::serialize(T::default()).map_err(|error| {
        cqi_errors::Error::permanent("the default settings do not serialize").with_source(error)
    })?;
    drop_secrets(shape, &mut values);
    Ok(Layer {
        name: "default".to_owned(),
        values,
    })
}

fn drop_secrets(shape: &Shape, value: &mut Value) {
    if let (Kind::Section(section), Value::Dict(_, entries)) = (&shape.kind, value) {
        entries.retain(|key, value| match section.field(key) {
            Some(field) if matches!(field.kind, Kind::Section(_)) => {
                drop_secrets(field, value);
                true
            }
            Some(field) => !field.holds_secret() || !is_redacted(value),
            None => true,
        });
    }
}

/// Reports required settings that no layer has, those of list entries and optional sections, and
/// keeps a place for them.
pub(super) fn missing(
    shape: &Shape,
    path: &str,
    value: &mut Value,
    origins: &Table,
    problems: &mut Vec<Problem>,
) {
    match (&shape.kind, value) {
        (Kind::Section(section), Value::Dict(_, entries)) => {
            for (name, field) in &section.fields {
                let path = join(path, name);
                if !entries.contains_key(name) && section.required.contains(name) {
                    if !reported_around(problems, &path) {
                        let problem = Problem::new(&path, &origins.of_missing(&path), "is missing");
                        problems.push(problem.allowed(field.allowed()));
                    }
                    entries.insert(name.clone(), placeholder(field));
                }
                if let Some(value) = entries.get_mut(name) {
                    missing(field, &path, value, origins, problems);
                }
            }
        }
        (Kind::Map(item), Value::Dict(_, entries)) => {
            for (key, value) in entries {
                missing(item, &join(path, key), value, origins, problems);
            }
        }
        (Kind::List { item, .. }, Value::Array(_, values)) => {
            for (index, value) in values.iter_mut().enumerate() {
                missing(item, &format!("{path}[{index}]"), value, origins, problems);
            }
        }
        _ => {}
    }
}

fn is_redacted(value: &Value) -> bool {
    match value {
        Value::String(_, text) => text == REDACTED,
        Value::Dict(_, entries) => entries.values().any(is_redacted),
        Value::Array(_, items) => items.iter().any(is_redacted),
        _ => false,
    }
}

fn is_inside(path: &str, around: &str) -> bool {
    path.strip_prefix(around)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Says whether a setting, or something it is in, is reported already.
fn reported_around(problems: &[Problem], path: &str) -> bool {
    problems
        .iter()
        .any(|problem| is_inside(path, &problem.path))
}

/// Says whether a setting, or something in it, is reported already.
fn reported_inside(problems: &[Problem], path: &str) -> bool {
    problems
        .iter()
        .any(|problem| is_inside(&problem.path, path))
}

/// Makes the settings of the values. What serde refuses is reported and taken out, until it refuses
/// no more, so that every refusal is reported; none when that does not help.
pub(super) fn settings<T: Settings>(
    shape: &Shape,
    values: &mut Value,
    origins: &Table,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    loop {
        let refusal = match values.deserialize::<T>() {
            Ok(settings) => return Some(settings),
            Err(refusal) => refusal,
        };
        let found = locate(shape, refusal.path.iter().map(String::as_str));
        // Inside a flattened struct serde knows no path, so nothing tells whether it is reported.
        let known = !found.path.is_empty()
            && (reported_around(problems, &found.path) || reported_inside(problems, &found.path));
        if !known {
            let problem = Problem::new(&found.path, &origins.of(&found.path), "");
            let secret = found.shape.is_none_or(Shape::holds_secret);
            let problem = problem.value(found.shown(values));
            problems.push(refused(problem, refusal.kind, secret));
        }
        if !take_out(values, &refusal.path) {
            return None;
        }
    }
}

fn refused(mut problem: Problem, refusal: Refusal, secret: bool) -> Problem {
    (problem.message, problem.allowed) = match refusal {
        Refusal::InvalidType(_, expected) | Refusal::InvalidValue(_, expected) => {
            ("is not accepted".to_owned(), Some(expected))
        }
        Refusal::UnknownVariant(_, known) => (
            "unknown value".to_owned(),
            Some(format!("one of {}", known.join(", "))),
        ),
        Refusal::MissingField(field) => (format!("{field} is missing"), None),
        other if !secret => (masked(&other.to_string()), None),
        _ => ("is not accepted".to_owned(), None),
    };
    problem
}

/// Takes the value at a path out of its parent; false when there is none.
fn take_out(values: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    let mut value = values;
    for key in parents {
        let next = match value {
            Value::Dict(_, entries) => entries.get_mut(key),
            Value::Array(_, items) => key
                .parse()
                .ok()
                .and_then(|index: usize| items.get_mut(index)),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => return false,
        }
    }
    match value {
        Value::Dict(_, entries) => entries.remove(last).is_some(),
        Value::Array(_, items) => match last.parse() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// Reports what the rules of the struct refuse, unless the same setting is reported already.
pub(super) fn validate<T: Settings>(
    settings: &T,
    shape: &Shape,
    values: &Value,
    origins: &Table,
    problems: &mut Vec<Problem>,
) {
    let Err(report) = settings.validate() else {
        return;
    };
    let earlier = problems.len();
    for (path, error) in report.iter() {
        let path = path.to_string();
        let steps = path
            .split(['.', '['])
            .map(|step| step.trim_end_matches(']'));
        let found = locate(shape, steps.filter(|step| !step.is_empty()));
        let reported = problems.get(..earlier).unwrap_or_default();
        if reported_around(reported, &found.path) || found.rests_on(reported) {
            continue;
        }
        let rule = error.message();
        let mut problem = if found.is_left_out(values) {
            let message = format!("is not set, and its default is refused: {rule}");
            Problem::new(&found.path, &origins.of_missing(&found.path), message)
        } else {
            Problem::new(&found.path, &origins.of(&found.path), rule).value(found.shown(values))
        };
        if BUILT_IN.iter().any(|built_in| rule.starts_with(built_in)) {
            problem.allowed = found.shape.map(Shape::allowed);
        }
        problems.push(problem);
    }
}

/// How the messages of garde's own rules begin; they leave out what is allowed.
const BUILT_IN: [&str; 3] = ["length is", "lower than", "greater than"];

struct Located<'a> {
    path: String,
    steps: Vec<String>,
    shape: Option<&'a Shape>,
}

impl Located<'_> {
    /// Returns the value for a message, unless it is, or holds, a secret or is not single.
    fn shown(&self, values: &Value) -> Option<String> {
        let (shape, value) = self.shape.zip(find(values, &self.steps))?;
        let single = !matches!(value, Value::Dict(..) | Value::Array(..));
        (single && !shape.holds_secret()).then(|| plain(shape, value).to_string())
    }

    /// Says whether no layer has it, so that serde put its default.
    fn is_left_out(&self, values: &Value) -> bool {
        let Some((key, parents)) = self.steps.split_last() else {
            return false;
        };
        let parent = find(values, parents).and_then(Value::as_dict);
        self.shape.is_some() && parent.is_some_and(|entries| !entries.contains_key(key))
    }

    /// Says whether a rule about it would judge the places kept for what is reported in it.
    fn rests_on(&self, problems: &[Problem]) -> bool {
        let of_sections = match self.shape.map(|shape| &shape.kind) {
            Some(Kind::List { item, .. }) => matches!(item.kind, Kind::Section(_)),
            _ => false,
        };
        !of_sections && reported_inside(problems, &self.path)
    }
}

/// Follows a path of Rust fields to a setting: the name of a flattened field is in no file, and a
/// renamed one is there in another spelling.
fn locate<'a, 's>(shape: &'a Shape, path: impl Iterator<Item = &'s str>) -> Located<'a> {
    let mut found = Located {
        path: String::new(),
        steps: Vec::new(),
        shape: Some(shape),
    };
    for step in path {
        let mut key = step;
        match found.shape.map(|shape| &shape.kind) {
            Some(Kind::Section(section)) => {
                let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
                let spelled = || {
                    section
                        .fields
                        .iter()
                        .find(|(name, _)| plain(name) == plain(step))
                };
                match section
                    .fields
                    .iter()
                    .find(|(name, _)| name == step)
                    .or_else(spelled)
                {
                    Some((name, field)) => (key, found.shape) = (name, Some(field)),
                    None if !section.open => continue,
                    None => found.shape = None,
                }
            }
            Some(Kind::Map(item)) => found.shape = Some(item),
            Some(Kind::List { item, .. }) => {
                found.shape = Some(item);
                found.path.push_str(&format!("[{step}]"));
                found.steps.push(step.to_owned());
                continue;
            }
            _ => {}
        }
        found.path = join(&found.path, key);
        found.steps.push(key.to_owned());
    }
    found
}

fn find<'a>(values: &'a Value, steps: &[String]) -> Option<&'a Value> {
    steps.iter().try_fold(values, |value, step| match value {
        Value::Dict(_, entries) => Dict::get(entries, step),
        Value::Array(_, items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}
