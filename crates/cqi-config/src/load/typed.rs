//! Single values: what the text of one means for the shape of its setting.

use figment::value::{Dict, Empty, Tag, Value};

use super::mask::masked;
use crate::document::Scalar;
use crate::secret::REDACTED;
use crate::shape::{Format, Kind, Shape};
use crate::{HumanDuration, HumanSize, timestamp};

/// The longest part of a value that a problem shows.
const MAX_SHOWN: usize = 80;

/// What is wrong with a duration that is a bare number.
pub(super) const NO_UNIT: &str = "has no unit";

/// Returns some value of a shape, to stand for one that was reported.
pub(super) fn placeholder(shape: &Shape) -> Value {
    match &shape.kind {
        _ if shape.nullable => Value::Empty(Tag::Default, Empty::None),
        Kind::Section(_) | Kind::Map(_) => Dict::new().into(),
        Kind::List { .. } => Value::Array(Tag::Default, Vec::new()),
        Kind::Choice(words) => words.first().cloned().unwrap_or_default().into(),
        Kind::Text {
            format: Format::Duration,
            ..
        } => "0s".into(),
        Kind::Text {
            format: Format::Timestamp,
            ..
        } => "1970-01-01T00:00:00Z".into(),
        Kind::Text {
            format: Format::Ip, ..
        } => "127.0.0.1".into(),
        Kind::Text { .. } => "".into(),
        Kind::Size { .. } | Kind::Integer { .. } => 0_u64.into(),
        Kind::Number { .. } => 0.0.into(),
        Kind::Bool => false.into(),
        Kind::Any => Value::Empty(Tag::Default, Empty::Unit),
    }
}

/// Gives a text the type the schema asks for.
pub(super) fn typed(shape: &Shape, scalar: &Scalar) -> Result<Value, &'static str> {
    let text = scalar.text.as_str();
    let (min, max) = match &shape.kind {
        Kind::Text { format, min, max } => {
            formatted(*format, text)?;
            if shape.secret && text == REDACTED {
                return Err("a redacted secret cannot be read back");
            }
            let length = text.len();
            let out = if length < *min {
                Err("too short")
            } else {
                Err("too long")
            };
            return if length < *min || length > *max {
                out
            } else {
                Ok(text.into())
            };
        }
        Kind::Choice(words) => {
            let known = words.iter().any(|word| word == text);
            return if known {
                Ok(text.into())
            } else {
                Err("unknown value")
            };
        }
        Kind::Size { min } => {
            let size = HumanSize::read(text).ok_or("not a size")?;
            return if size < *min {
                Err("out of range")
            } else {
                Ok(size.into())
            };
        }
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" if !scalar.quoted => return Ok(true.into()),
            "false" if !scalar.quoted => return Ok(false.into()),
            "true" | "false" => return Err("in quotes, which make it a text"),
            _ => return Err("neither true nor false"),
        },
        Kind::Number { min, max } => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            let number = number.ok_or("not a number")?;
            unquoted(scalar)?;
            let within = (*min..=*max).contains(&number);
            return if within {
                Ok(number.into())
            } else {
                Err("out of range")
            };
        }
        Kind::Integer { min, max } => (*min, *max),
        Kind::Section(_) | Kind::Map(_) | Kind::List { .. } | Kind::Any => return Ok(text.into()),
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not an integer");
    }
    unquoted(scalar)?;
    match text.parse::<i128>() {
        Ok(number) if (min..=max).contains(&number) => {
            // Serde's integers end at 64 bits.
            let signed = || i64::try_from(number).map_err(|_| "out of range");
            u64::try_from(number)
                .map_or_else(|_| signed().map(Value::from), |number| Ok(number.into()))
        }
        _ => Err("out of range"),
    }
}

fn formatted(format: Format, text: &str) -> Result<(), &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match format {
        Format::Duration if digits => Err(NO_UNIT),
        Format::Duration if HumanDuration::read(text).is_none() => Err("not a duration"),
        Format::Timestamp if timestamp::read(text).is_none() => Err("not a time"),
        Format::Ip if text.parse::<std::net::IpAddr>().is_err() => Err("not an IP address"),
        _ => Ok(()),
    }
}

fn unquoted(scalar: &Scalar) -> Result<(), &'static str> {
    if scalar.quoted {
        Err("in quotes, which make it a text")
    } else {
        Ok(())
    }
}

pub(super) fn untyped(scalar: &Scalar) -> Value {
    let text = scalar.text.as_str();
    match text {
        _ if scalar.quoted => text.into(),
        "true" => true.into(),
        "false" => false.into(),
        _ => text
            .parse::<u64>()
            .map(Value::from)
            .or_else(|_| text.parse::<i64>().map(Value::from))
            .or_else(|_| text.parse::<f64>().map(Value::from))
            .unwrap_or_else(|_| text.into()),
    }
}

/// Returns a value for a message: as it was written, without passwords, on one line and not too long.
pub(super) fn shown(scalar: &Scalar) -> String {
    let text = scalar.written.as_ref().unwrap_or(&scalar.text);
    let text = masked(text);
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    match scalar.quoted || scalar.written.is_some() || shown.contains(char::is_control) {
        true => serde_json::Value::from(shown).to_string(),
        false => shown,
    }
}
