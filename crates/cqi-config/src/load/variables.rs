//! Environment variables as layers, matched by name against the settings there are.

use std::collections::BTreeMap;
use std::path::Path;

use figment::util::nest;
use figment::value::Value;

use super::environment::Environment;
use super::file;
use super::layer::Layer;
use super::origins::Table;
use super::read::Reader;
use crate::document::{self, Kind as Found, Node, Scalar};
use crate::shape::{Kind, Shape};
use crate::suggest::nearest;
use crate::{HumanSize, Origin, Problem};

/// The largest mounted secret.
const MAX_SECRET: u64 = 64 << 10;

/// Belongs to the test kit, which finds the servers of a test run by it.
const TEST_KIT: &str = "CQI_TEST_";

const FILE: &str = "_FILE";

/// What a variable sets.
struct Target<'a> {
    path: String,
    shape: &'a Shape,
}

/// The variables that the settings know, by name.
pub(super) struct Variables<'a> {
    prefix: String,
    values: BTreeMap<String, Vec<Target<'a>>>,
    files: BTreeMap<String, Vec<Target<'a>>>,
}

/// Returns the name of a setting's variable.
pub(crate) fn name(prefix: &str, path: &str) -> String {
    format!("{prefix}_{}", path.replace(['.', '-'], "_").to_uppercase())
}

impl<'a> Variables<'a> {
    pub(super) fn new(prefix: &str, shape: &'a Shape) -> Self {
        let prefix = prefix.trim_end_matches('_');
        let (mut values, mut files) = (BTreeMap::new(), BTreeMap::new());
        shape.each_leaf("", &mut |path, shape| {
            let name = name(prefix, &path);
            if shape.is_secret() {
                let named: &mut Vec<_> = files.entry(format!("{name}{FILE}")).or_default();
                named.push(Target {
                    path: path.clone(),
                    shape,
                });
            }
            let named: &mut Vec<_> = values.entry(name).or_default();
            named.push(Target { path, shape });
        });
        Self {
            prefix: format!("{prefix}_"),
            values,
            files,
        }
    }

    /// Reads the variables into layers, values before files.
    pub(super) fn layers(
        &self,
        environment: &Environment,
        origins: &mut Table,
        problems: &mut Vec<Problem>,
    ) -> Vec<Layer> {
        let (mut values, mut files) = (Vec::new(), Vec::new());
        for (name, value) in environment.with_prefix(&self.prefix) {
            let origin = Origin::Variable(name.to_owned());
            let (named, layers) = match (self.values.get(name), self.files.get(name)) {
                (Some(named), _) => (named, &mut values),
                (None, Some(named)) => (named, &mut files),
                (None, None) if name.starts_with(TEST_KIT) => continue,
                (None, None) => {
                    problems.push(self.unknown(name, &origin));
                    continue;
                }
            };
            match (named.as_slice(), value) {
                ([target], Some(value)) => layers.push((name, target, value)),
                ([target], None) => {
                    problems.push(Problem::new(&target.path, &origin, "is not UTF-8 text"));
                }
                (several, _) => {
                    let paths: Vec<_> = several.iter().map(|target| target.path.as_str()).collect();
                    let message = format!("names several settings: {}", paths.join(", "));
                    problems.push(Problem::new("", &origin, message));
                }
            }
        }
        let mut layers = Vec::new();
        for (name, target, value) in values {
            let origin = Origin::Variable(name.to_owned());
            layers.extend(set(
                target.shape,
                &target.path,
                value,
                &origin,
                origins,
                problems,
            ));
        }
        for (name, target, path) in files {
            let path = Path::new(path);
            let origin = Origin::SecretFile {
                variable: name.to_owned(),
                path: path.to_owned(),
            };
            match secret(path) {
                Ok(text) => {
                    layers.extend(set(
                        target.shape,
                        &target.path,
                        &text,
                        &origin,
                        origins,
                        problems,
                    ));
                }
                Err(message) => problems.push(
                    Problem::new(&target.path, &origin, message).allowed(format!(
                        "a text file of at most {}",
                        HumanSize::format(MAX_SECRET)
                    )),
                ),
            }
        }
        layers
    }

    fn unknown(&self, name: &str, origin: &Origin) -> Problem {
        let value = name.strip_suffix(FILE);
        if let Some([target]) = value
            .and_then(|name| self.values.get(name))
            .map(Vec::as_slice)
        {
            let message = "only a secret can be read from a file";
            return Problem::new(&target.path, origin, message)
                .suggestion(value.map(str::to_owned));
        }
        let inside = format!("{name}_");
        if self.values.keys().any(|known| known.starts_with(&inside)) {
            let message =
                format!("names a section, whose settings are {inside}..; set one of them");
            return Problem::new("", origin, message);
        }
        let known = self.values.keys().chain(self.files.keys());
        Problem::new("", origin, "unknown variable")
            .suggestion(nearest(name, known.map(String::as_str)))
    }
}

/// Reads a mounted secret, without the line break at its end. An empty one is a mount that went wrong.
fn secret(path: &Path) -> Result<String, String> {
    if path.as_os_str().is_empty() {
        return Err("names no file".to_owned());
    }
    let text = file::read(path, MAX_SECRET).map_err(|message| format!("the file {message}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.is_empty() {
        true => Err("the file is empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// Makes a layer of one text; none when it does not fit, which is reported.
pub(super) fn set(
    shape: &Shape,
    path: &str,
    text: &str,
    origin: &Origin,
    origins: &mut Table,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    let node = match node(shape, text) {
        Ok(node) => node,
        Err(message) => {
            problems.push(
                Problem::new(path, origin, message).allowed(format!("JSON: {}", shape.allowed())),
            );
            return None;
        }
    };
    let mut reader = Reader {
        origin: &|_| origin.clone(),
        interpolate: None,
        origins,
        problems,
    };
    let value: Value = reader.read(shape, path, node)?;
    Some(Layer {
        name: origin.to_string(),
        values: nest(path, value),
    })
}

/// Reads the text of a variable: JSON where there is structure, commas for a plain list.
fn node(shape: &Shape, text: &str) -> Result<Node, String> {
    let scalar = |text: &str| Node {
        line: 0,
        kind: Found::Scalar(Scalar {
            text: text.to_owned(),
            quoted: false,
            written: None,
        }),
    };
    let json = text.trim_start().starts_with(['[', '{']);
    match &shape.kind {
        Kind::Section(_) | Kind::Map(_) | Kind::List { .. } | Kind::Any if json => {
            document::parse(text).map_err(|refused| refused.message)
        }
        Kind::List { .. } if text.trim().is_empty() => Ok(Node {
            line: 0,
            kind: Found::List(Vec::new()),
        }),
        Kind::List { .. } => {
            let items = text.split(',').map(|item| scalar(item.trim())).collect();
            Ok(Node {
                line: 0,
                kind: Found::List(items),
            })
        }
        _ => Ok(scalar(text)),
    }
}
