//! Enums: names, and numbers for values that are newer than this code.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

use super::number;
use super::shape::Shape;

/// What prost makes of an enum, as a trait.
pub(super) trait Enumeration: Copy + Into<i32> + TryFrom<i32> {
    const NAME: &'static str;

    fn name(self) -> &'static str;

    fn from_name(name: &str) -> Option<Self>;
}

/// Implements serde's traits for an enum: its type and its name.
macro_rules! enumeration {
    ($enumeration:ty, $name:literal) => {
        impl $crate::json::enumeration::Enumeration for $enumeration {
            const NAME: &'static str = $name;

            fn name(self) -> &'static str {
                self.as_str_name()
            }

            fn from_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }

        impl serde::Serialize for $enumeration {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str_name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $enumeration {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::json::enumeration::known(from)
            }
        }
    };
}
pub(super) use enumeration;

/// A field of an enum, which prost has as the number.
pub(super) struct Enum<E>(PhantomData<E>);

impl<E: Enumeration> Shape for Enum<E> {
    type Value = i32;

    fn write<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
        match E::try_from(*value) {
            Ok(known) => to.serialize_str(known.name()),
            Err(_) => to.serialize_i32(*value),
        }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
        from.deserialize_any(NameOrNumber::<E>(PhantomData))
    }
}

/// Reads a value that this code knows.
pub(super) fn known<'de, E: Enumeration, D: Deserializer<'de>>(from: D) -> Result<E, D::Error> {
    let number = Enum::<E>::read(from)?;
    E::try_from(number)
        .map_err(|_| D::Error::custom(format_args!("{number} is no value of {}", E::NAME)))
}

struct NameOrNumber<E>(PhantomData<E>);

impl<E: Enumeration> Visitor<'_> for NameOrNumber<E> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name or number of a value of {}", E::NAME)
    }

    fn visit_str<Fault: Error>(self, name: &str) -> Result<i32, Fault> {
        E::from_name(name)
            .map(Into::into)
            .ok_or_else(|| Fault::invalid_value(serde::de::Unexpected::Str(name), &self))
    }

    fn visit_i64<Fault: Error>(self, number: i64) -> Result<i32, Fault> {
        number::narrow(number)
    }

    fn visit_u64<Fault: Error>(self, number: u64) -> Result<i32, Fault> {
        number::narrow(number)
    }

    fn visit_f64<Fault: Error>(self, number: f64) -> Result<i32, Fault> {
        number::narrow(number::whole(number)?)
    }
}
