//! `google.protobuf.Struct`: the JSON that it stands for.

use std::collections::BTreeMap;
use std::fmt;

use prost_types::value::Kind;
use prost_types::{ListValue, NullValue, Struct, Value};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserializer, Serializer};

use super::shape::{Read, Shape, Written};

/// An object with anything in it.
pub(super) struct Free;

impl Shape for Free {
    type Value = Struct;

    fn write<S: Serializer>(object: &Struct, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(
            object
                .fields
                .iter()
                .map(|(name, value)| (name, Written::<Anything>(value))),
        )
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Struct, D::Error> {
        from.deserialize_map(ObjectVisitor)
    }
}

struct Anything;

impl Shape for Anything {
    type Value = Value;

    fn write<S: Serializer>(value: &Value, to: S) -> Result<S::Ok, S::Error> {
        match &value.kind {
            Some(Kind::NullValue(_)) => to.serialize_unit(),
            Some(Kind::BoolValue(bool)) => to.serialize_bool(*bool),
            Some(Kind::NumberValue(number)) if number.is_finite() => to.serialize_f64(*number),
            Some(Kind::NumberValue(number)) => Err(S::Error::custom(format_args!(
                "a google.protobuf.Value of {number} has no JSON"
            ))),
            Some(Kind::StringValue(text)) => to.serialize_str(text),
            Some(Kind::ListValue(list)) => to.collect_seq(list.values.iter().map(Written::<Self>)),
            Some(Kind::StructValue(object)) => Free::write(object, to),
            None => Err(S::Error::custom(
                "a google.protobuf.Value without a kind has no JSON",
            )),
        }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        from.deserialize_any(ValueVisitor)
            .map(|kind| Value { kind: Some(kind) })
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Struct;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Struct, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, Read(value))) = map.next_entry::<String, Read<Anything>>()? {
            fields.insert(name, value);
        }
        Ok(Struct { fields })
    }
}

struct ValueVisitor;

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
        let mut values = Vec::new();
        while let Some(Read(value)) = seq.next_element::<Read<Anything>>()? {
            values.push(value);
        }
        Ok(Kind::ListValue(ListValue { values }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Kind, A::Error> {
        ObjectVisitor.visit_map(map).map(Kind::StructValue)
    }
}
