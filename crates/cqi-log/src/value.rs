//! The value of one field.

use std::error::Error;
use std::fmt;

use crate::json::{self, Escape, Escaped};

/// A field's value as `tracing` hands it over.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Bool(bool),
    Str(&'a str),
    Debug(&'a dyn fmt::Debug),
    Error(&'a (dyn Error + 'static)),
}

impl Value<'_> {
    /// Writes the value of a key: JSON, or in text the same but for bare words where `Debug` or
    /// an error wrote them.
    pub(crate) fn write(self, out: &mut Vec<u8>, escape: Escape) {
        match self {
            Self::I64(value) => json::i64(out, value),
            Self::U64(value) => json::u64(out, value),
            Self::I128(value) => json::i128(out, value),
            Self::U128(value) => json::u128(out, value),
            Self::F64(value) => json::f64(out, value),
            Self::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Self::Str(value) => json::string(out, value),
            Self::Debug(_) | Self::Error(_) if escape == Escape::Json => {
                out.push(b'"');
                self.write_text(out, escape);
                out.push(b'"');
            }
            Self::Debug(_) | Self::Error(_) => self.write_text(out, escape),
        }
    }

    /// Writes the value as text without quotes around it, as a message is.
    pub(crate) fn write_text(self, out: &mut Vec<u8>, escape: Escape) {
        let mut out = Escaped::new(out, escape);
        match self {
            Self::I64(value) => out.print(format_args!("{value}")),
            Self::U64(value) => out.print(format_args!("{value}")),
            Self::I128(value) => out.print(format_args!("{value}")),
            Self::U128(value) => out.print(format_args!("{value}")),
            Self::F64(value) => out.print(format_args!("{value}")),
            Self::Bool(value) => out.print(format_args!("{value}")),
            Self::Str(value) => out.print(format_args!("{value}")),
            Self::Debug(value) => out.print(format_args!("{value:?}")),
            Self::Error(value) => out.print_error(value),
        }
    }
}
