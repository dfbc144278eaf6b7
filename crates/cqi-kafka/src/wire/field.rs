use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::reader::{Malformed, Reader};

/// What stands in an answer.
pub(crate) trait Field: Sized {
    fn read(reader: &mut Reader) -> Result<Self, Malformed>;

    /// The fewest bytes that one takes; above 0.
    fn least(flexible: bool) -> usize;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn read(reader: &mut Reader) -> Result<Self, Malformed> {
                reader.array().map(Self::from_be_bytes)
            }

            fn least(_: bool) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}

numbers!(i16, i32, i64);

impl Field for bool {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let [byte] = reader.array()?;
        Ok(byte != 0)
    }

    fn least(_: bool) -> usize {
        1
    }
}

/// A UUID.
impl Field for [u8; 16] {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        reader.array()
    }

    fn least(_: bool) -> usize {
        size_of::<Self>()
    }
}

impl Field for Option<StrBytes> {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        reader.nullable_string()
    }

    fn least(flexible: bool) -> usize {
        if flexible { 1 } else { 2 }
    }
}

impl Field for StrBytes {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        reader.nullable_string()?.ok_or(Malformed::Null)
    }

    fn least(flexible: bool) -> usize {
        Option::<Self>::least(flexible)
    }
}

impl Field for Option<Bytes> {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        reader.nullable_bytes()
    }

    fn least(flexible: bool) -> usize {
        if flexible { 1 } else { 4 }
    }
}

/// Null is taken as empty: there are brokers that send a null assignment.
impl Field for Bytes {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(reader.nullable_bytes()?.unwrap_or_default())
    }

    fn least(flexible: bool) -> usize {
        Option::<Self>::least(flexible)
    }
}

/// Null is taken as empty: it means nothing else.
impl<T: Field> Field for Vec<T> {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(reader.nullable_array()?.unwrap_or_default())
    }

    fn least(flexible: bool) -> usize {
        if flexible { 1 } else { 4 }
    }
}

/// Declares structures whose fields are read in the order in which they stand.
///
/// `since(n)` marks a field that versions before n lack: there it has its default. In `tagged` are
/// those optional fields, by tag, that are not skipped.
macro_rules! fields {
    ($(
        $(#[$meta:meta])*
        struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty $(, since($since:literal))?;)*
        }
        $(tagged {
            $($(#[$tagged_meta:meta])* $tag:literal: $tagged:ident: $tagged_type:ty;)*
        })?
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $type,)*
            $($($(#[$tagged_meta])* pub(crate) $tagged: Option<$tagged_type>,)*)?
        }

        impl $crate::wire::field::Field for $name {
            #[allow(unused_mut, unused_variables, reason = "some have no tagged fields of interest")]
            fn read(
                reader: &mut $crate::wire::Reader,
            ) -> Result<Self, $crate::wire::reader::Malformed> {
                let mut read = Self {
                    $($field: reader.field(
                        concat!(stringify!($name), ".", stringify!($field)),
                        0 $(+ $since)?,
                    )?,)*
                    $($($tagged: None,)*)?
                };
                reader.tagged_fields(|reader, tag| {
                    match tag {
                        $($($tag => read.$tagged = Some(
                            reader.field(concat!(stringify!($name), ".", stringify!($tagged)), 0)?,
                        ),)*)?
                        _ => {}
                    }
                    Ok(())
                })?;
                Ok(read)
            }

            fn least(flexible: bool) -> usize {
                usize::from(flexible)
                    $(+ match 0 $(+ $since)? {
                        0 => <$type as $crate::wire::field::Field>::least(flexible),
                        _ => 0,
                    })*
            }
        }

        #[cfg(test)]
        impl $crate::wire::tests::Draw for $name {
            fn draw(rng: &mut fastrand::Rng, version: i16) -> Self {
                Self {
                    $($field: if version < 0 $(+ $since)? {
                        Default::default()
                    } else {
                        $crate::wire::tests::Draw::draw(rng, version)
                    },)*
                    $($($tagged: $crate::wire::tests::Draw::draw(rng, version),)*)?
                }
            }
        }
    )*};
}

pub(crate) use fields;
