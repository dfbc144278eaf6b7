//! `google.protobuf.Struct`: the JSON that it stands for.

use std::collections::BTreeMap;
use std::fmt;

use prost_types::value::Kind;
use prost_types::{ListValue, NullValue, Struct, Value};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserializer, Serialize, Serializer};

use super::shape::Shape;

/// How many objects and arrays may be inside of each other. An object takes three of the hundred levels that decoders
/// of the binary form allow: what is read here must not become bytes that no consumer can read.
const DEPTH: usize = 32;

/// An object with anything in it.
pub(super) struct Free;

impl Shape for Free {
    type Value = Struct;

    fn write<S: Serializer>(object: &Struct, to: S) -> Result<S::Ok, S::Error> {
        let members = &object.fields;
        to.collect_map(members.iter().map(|(name, value)| (name, Written(value))))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Struct, D::Error> {
        from.deserialize_map(ObjectVisitor(Depth(DEPTH)))
    }
}

/// A value to write.
struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            Some(Kind::NullValue(_)) => to.serialize_unit(),
            Some(Kind::BoolValue(bool)) => to.serialize_bool(*bool),
            Some(Kind::NumberValue(number)) if number.is_finite() => to.serialize_f64(*number),
            Some(Kind::NumberValue(number)) => Err(S::Error::custom(format_args!(
                "a google.protobuf.Value of {number} has no JSON"
            ))),
            Some(Kind::StringValue(text)) => to.serialize_str(text),
            Some(Kind::ListValue(list)) => to.collect_seq(list.values.iter().map(Written)),
            Some(Kind::StructValue(object)) => Free::write(object, to),
            None => Err(S::Error::custom(
                "a google.protobuf.Value without a kind has no JSON",
            )),
        }
    }
}

/// What may still be inside.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn less<E: Error>(self) -> Result<Self, E> {
        let less = self.0.checked_sub(1).map(Self);
        less.ok_or_else(|| E::custom(format_args!("more than {DEPTH} objects and arrays deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let kind = from.deserialize_any(ValueVisitor(self))?;
        Ok(Value { kind: Some(kind) })
    }
}

struct ObjectVisitor(Depth);

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Struct;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Struct, A::Error> {
        let inside = self.0.less()?;
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            // Whoever reads the first and who reads the last would see different objects.
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate name {name:?}")));
            }
            fields.insert(name, map.next_value_seed(inside)?);
        }
        Ok(Struct { fields })
    }
}

struct ValueVisitor(Depth);

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::NullValue(NullValue::NullValue.into()))
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Kind, E> {
        Ok(Kind::BoolValue(bool))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(number as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Kind, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::StringValue(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let inside = self.0.less()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Kind::ListValue(ListValue { values }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Kind, A::Error> {
        ObjectVisitor(self.0).visit_map(map).map(Kind::StructValue)
    }
}
