//! What the value of a field looks like in JSON.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How JSON writes and reads a `Value`, where its Rust type alone does not say: an `i32` is a number or an enum.
pub(super) trait Shape {
    type Value;

    fn write<S: Serializer>(value: &Self::Value, to: S) -> Result<S::Ok, S::Error>;

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self::Value, D::Error>;
}

/// As the type itself has it: strings, booleans, messages, lists of messages.
pub(super) struct Plain<T>(PhantomData<T>);

impl<T: Serialize + for<'de> Deserialize<'de>> Shape for Plain<T> {
    type Value = T;

    fn write<S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::deserialize(from)
    }
}

/// A value to write in its shape.
pub(super) struct Written<'a, S: Shape>(pub(super) &'a S::Value);

impl<S: Shape> Serialize for Written<'_, S> {
    fn serialize<To: Serializer>(&self, to: To) -> Result<To::Ok, To::Error> {
        S::write(self.0, to)
    }
}

/// A value that was read in its shape.
pub(super) struct Read<S: Shape>(pub(super) S::Value);

impl<'de, S: Shape> Deserialize<'de> for Read<S> {
    fn deserialize<From: Deserializer<'de>>(from: From) -> Result<Self, From::Error> {
        S::read(from).map(Self)
    }
}
