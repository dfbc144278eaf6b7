//! A YAML or JSON text as a tree that keeps where each value stands and how it was written.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

/// A value of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The line it stands on, from 1; 0 when it is not from a file.
    pub(crate) line: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    /// Keys may be repeated.
    Map(Vec<(String, Node)>),
}

/// A value that is neither list nor map. Its type is for the schema to say, so `version: 1.10` is
/// not 1.1.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Whether it was written in quotes, or is a word that is nothing but text.
    pub(crate) quoted: bool,
    /// What to show in place of the text, where part of the text came from the environment.
    pub(crate) written: Option<String>,
}

/// Why a text is not a document.
pub(crate) struct Refused {
    pub(crate) line: Option<u64>,
    pub(crate) message: String,
}

/// Deeper and larger files than any settings need are refused before they cost stack or memory: in a
/// debug build a level takes 45 KiB of stack, and a thread has 2 MiB.
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 20_000;

/// Reads a document. JSON is YAML, so one reader serves both.
pub(crate) fn parse(source: &str) -> Result<Node, Refused> {
    let options = serde_saphyr::options! {
        // Each duplicate is reported, with the other problems.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // A snippet would show the secrets around a mistake.
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES },
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(source, options) {
        Ok(raw) => Ok(node(source, raw, None)),
        Err(error) => Err(refused(source, &error)),
    }
}

fn refused(source: &str, error: &serde_saphyr::Error) -> Refused {
    use serde_saphyr::Error as Saphyr;
    let line = error.location().map(|location| location.line());
    let mut error = error;
    while let Saphyr::AliasError { error: inner, .. } | Saphyr::WithSnippet { error: inner, .. } =
        error
    {
        error = inner;
    }
    let message = match error {
        Saphyr::MultipleDocuments { .. } => "holds more than one document".to_owned(),
        Saphyr::Budget { .. } | Saphyr::AliasReplayLimitExceeded { .. } => {
            format!("is too large or too deep: at most {MAX_NODES} values in {MAX_DEPTH} levels")
        }
        _ => {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let number = line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
            let line = number.and_then(|number| source.lines().nth(number));
            // Inside { }, a { begins a map and a } ends the one around it.
            let hint = match line.is_some_and(|line| line.contains("${")) {
                true => "; inside { } and [ ], ${..} needs quotes",
                false => "",
            };
            format!("is not valid YAML or JSON: {message}{hint}")
        }
    };
    Refused { line, message }
}

fn node(source: &str, raw: Spanned<Raw>, key_line: Option<u64>) -> Node {
    let line = key_line.unwrap_or_else(|| raw.defined.line());
    let span = raw.defined.span();
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Text(text) => Kind::Scalar(Scalar {
            text,
            quoted: true,
            written: None,
        }),
        Raw::Typed(text) => {
            let range = span.byte_offset().zip(span.byte_len());
            let written = range.and_then(|(start, len)| {
                source.get(usize::try_from(start).ok()?..usize::try_from(start + len).ok()?)
            });
            let text = written.map_or(text, str::to_owned);
            Kind::Scalar(Scalar {
                text,
                quoted: false,
                written: None,
            })
        }
        Raw::List(items) => Kind::List(
            items
                .into_iter()
                .map(|item| node(source, item, None))
                .collect(),
        ),
        Raw::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let line = key.defined.line();
                    (key.value, node(source, value, Some(line)))
                })
                .collect(),
        ),
    };
    Node { line, kind }
}

/// A value as the parser infers it.
enum Raw {
    Null,
    /// A number or a boolean.
    Typed(String),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Inferred)
    }
}

struct Inferred;

impl<'de> de::Visitor<'de> for Inferred {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
