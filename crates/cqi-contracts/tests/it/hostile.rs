//! Bytes from anybody: an error or a message, never a panic.

use cqi_contracts::assets::v1::Asset;
use cqi_contracts::prost::Message;
use cqi_contracts::prost_types::value::Kind::ListValue;
use cqi_contracts::prost_types::{ListValue as List, Struct, Value};
use proptest::prelude::*;

use crate::{kinds, vectors};

/// A vector with some of its bytes changed, and perhaps cut off or followed by a part of another.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let vectors: Vec<_> = vectors::all().iter().map(vectors::Vector::bytes).collect();
    let one = proptest::sample::select(vectors);
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8);
    let cuts = (
        any::<proptest::sample::Index>(),
        any::<proptest::sample::Index>(),
    );
    (one.clone(), one, changes, cuts).prop_map(|(mut bytes, other, changes, (end, begin))| {
        bytes.truncate(end.index(bytes.len() + 1).max(bytes.len() / 2));
        bytes.extend_from_slice(&other[begin.index(other.len() + 1)..]);
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

/// Whatever decodes has one canonical form.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    for kind in kinds::all() {
        let Ok(encoded) = (kind.again)(bytes) else {
            continue;
        };
        prop_assert_eq!((kind.again)(&encoded), Ok(encoded.clone()), "{}", kind.name);
        #[cfg(feature = "serde")]
        if let Ok(json) = (kind.to_json)(&encoded) {
            prop_assert_eq!(
                (kind.from_json)(&json).ok(),
                Some(encoded),
                "{} {}",
                kind.name,
                json
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        check(&bytes)?;
    }

    #[test]
    fn damaged_messages_decode_or_fail(bytes in damaged()) {
        check(&bytes)?;
    }
}

/// prost's limit; without one, a small message would end the process.
#[test]
fn a_message_that_is_nested_too_deeply_is_refused() {
    let nested = |depth| {
        let mut value = Value { kind: None };
        for _ in 0..depth {
            value = Value {
                kind: Some(ListValue(List {
                    values: vec![value],
                })),
            };
        }
        let fields = [("deep".to_owned(), value)].into();
        Asset {
            metadata: Some(Struct { fields }),
            ..Asset::default()
        }
        .encode_to_vec()
    };
    assert!(Asset::decode(nested(20).as_slice()).is_ok());
    let error = Asset::decode(nested(60).as_slice()).unwrap_err();
    assert!(
        error.to_string().contains("recursion limit reached"),
        "{error}"
    );
}

#[test]
fn a_length_beyond_the_end_is_refused_before_memory_is_reserved() {
    // A string of 2 GiB in a message of 6 bytes.
    let bytes = [0x0a, 0xff, 0xff, 0xff, 0xff, 0x07];
    for kind in kinds::all() {
        assert!((kind.again)(&bytes).is_err(), "{}", kind.name);
    }
}
