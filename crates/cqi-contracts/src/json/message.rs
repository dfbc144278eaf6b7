//! Objects: a member for each field that is set.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer};

use super::shape::{Read, Shape, Written};

/// What the generated tables say of a message.
pub(super) trait Message: Default {
    const NAME: &'static str;
    const FIELDS: &'static [&'static str];

    /// Reads the value that belongs to `key`.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, from: &mut A) -> Result<(), A::Error>;
}

/// A field, set or unset; a list is unset when it is empty.
pub(super) trait Field {
    type Value;

    fn get(&self) -> Option<&Self::Value>;

    fn set(&mut self, value: Self::Value);
}

impl<T> Field for Option<T> {
    type Value = T;

    fn get(&self) -> Option<&T> {
        self.as_ref()
    }

    fn set(&mut self, value: T) {
        *self = Some(value);
    }
}

impl<T> Field for Vec<T> {
    type Value = Self;

    fn get(&self) -> Option<&Self> {
        (!self.is_empty()).then_some(self)
    }

    fn set(&mut self, value: Self) {
        *self = value;
    }
}

/// Implements serde's traits for a message: its type, its name, and of each field the Rust name, the shape,
/// the JSON name, and the protobuf name where that is another.
macro_rules! message {
    ($message:ty, $name:literal {
        $($field:ident: $shape:ty = $json:literal $(| $proto:literal)?,)*
    }) => {
        impl serde::Serialize for $message {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use $crate::json::message::{Field, write};

                let set = 0 $(+ usize::from(self.$field.get().is_some()))*;
                let mut object = serde::Serializer::serialize_struct(to, $name, set)?;
                $(write::<$shape, _>(&mut object, $json, &self.$field)?;)*
                serde::ser::SerializeStruct::end(object)
            }
        }

        impl<'de> serde::Deserialize<'de> for $message {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::json::message::object(from)
            }
        }

        impl $crate::json::message::Message for $message {
            const NAME: &'static str = $name;
            const FIELDS: &'static [&'static str] = &[$($json),*];

            fn read<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                from: &mut A,
            ) -> Result<(), A::Error> {
                use $crate::json::message::read;

                match key {
                    $($json $(| $proto)? => read::<$shape, _, _>(&mut self.$field, $json, from),)*
                    _ => Err(serde::de::Error::unknown_field(key, Self::FIELDS)),
                }
            }
        }
    };
}
pub(super) use message;

pub(super) fn write<S: Shape, To: SerializeStruct>(
    object: &mut To,
    name: &'static str,
    field: &impl Field<Value = S::Value>,
) -> Result<(), To::Error> {
    match field.get() {
        Some(value) => object.serialize_field(name, &Written::<S>(value)),
        None => Ok(()),
    }
}

/// Sets a field to the next value; `null` leaves it unset.
pub(super) fn read<'de, S: Shape, F: Field<Value = S::Value>, A: MapAccess<'de>>(
    field: &mut F,
    name: &'static str,
    from: &mut A,
) -> Result<(), A::Error> {
    if field.get().is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    if let Some(Read(value)) = from.next_value::<Option<Read<S>>>()? {
        field.set(value);
    }
    Ok(())
}

pub(super) fn object<'de, M: Message, D: Deserializer<'de>>(from: D) -> Result<M, D::Error> {
    from.deserialize_struct(M::NAME, M::FIELDS, Object(PhantomData))
}

/// Without `visit_seq`, unlike what serde derives: an array is no message.
struct Object<M>(PhantomData<M>);

impl<'de, M: Message> Visitor<'de> for Object<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of type {}", M::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<M, A::Error> {
        let mut message = M::default();
        while let Some(Key(key)) = map.next_key()? {
            message.read(&key, &mut map)?;
        }
        Ok(message)
    }
}

/// The name of a member, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_identifier(Text)
    }
}
