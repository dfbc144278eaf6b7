//! Numbers, bare or in strings: JSON has doubles only, and no name for what is not finite.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::shape::Shape;

/// `double`: a number, or one of the strings `NaN`, `Infinity` and `-Infinity`.
pub(super) struct Double;

impl Shape for Double {
    type Value = f64;

    fn write<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            to.serialize_f64(*value)
        } else if value.is_nan() {
            to.serialize_str("NaN")
        } else if value.is_sign_positive() {
            to.serialize_str("Infinity")
        } else {
            to.serialize_str("-Infinity")
        }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        from.deserialize_any(DoubleVisitor)
    }
}

/// `int32`: a number.
pub(super) struct Int32;

impl Shape for Int32 {
    type Value = i32;

    fn write<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i32(*value)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
        narrow(from.deserialize_any(IntegerVisitor)?)
    }
}

/// `int64`: a string, since a double does not hold all of them.
pub(super) struct Int64;

impl Shape for Int64 {
    type Value = i64;

    fn write<S: Serializer>(value: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        from.deserialize_any(IntegerVisitor)
    }
}

/// The same integer in a smaller type.
pub(super) fn narrow<T, Wide, E>(number: Wide) -> Result<T, E>
where
    T: TryFrom<Wide>,
    Wide: Copy + fmt::Display,
    E: Error,
{
    T::try_from(number).map_err(|_| E::custom(format_args!("{number} is out of range")))
}

/// The integer that is written like `1.0` or `1e2`, if it is small enough for the double to be exact.
pub(super) fn whole<E: Error>(number: f64) -> Result<i64, E> {
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

    if number.fract() == 0.0 && number.abs() <= EXACT {
        Ok(number as i64)
    } else {
        Err(E::invalid_value(Unexpected::Float(number), &IntegerVisitor))
    }
}

/// A finite number in decimal notation; Rust's own parser also takes `inf` and a leading plus.
fn decimal(text: &str) -> Option<f64> {
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    if text.starts_with('+') || !text.chars().all(digits) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

struct DoubleVisitor;

impl Visitor<'_> for DoubleVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, bare or in a string, \"NaN\", \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => decimal(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, bare or in a string")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        narrow(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        whole(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        let unsigned = !text.starts_with('+');
        match (text.parse(), decimal(text)) {
            (Ok(number), _) if unsigned => Ok(number),
            (_, Some(number)) => whole(number),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
