//! Bytes and JSON from Google's implementation; `tests/data/vectors.py` made them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::kinds;

/// One line of `vectors.jsonl`.
pub(crate) struct Vector {
    line: Value,
}

impl Vector {
    pub(crate) fn message(&self) -> &str {
        self.line["message"].as_str().unwrap()
    }

    pub(crate) fn case(&self) -> &str {
        self.line["case"].as_str().unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        hex(&self.line["bytes"])
    }

    /// The canonical form of the bytes.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        match &self.line["encoded"] {
            Value::Null => self.bytes(),
            encoded => hex(encoded),
        }
    }

    #[cfg(feature = "serde")]
    pub(crate) fn json(&self) -> &Value {
        &self.line["json"]
    }

    #[cfg(feature = "serde")]
    pub(crate) fn proto_names(&self) -> Option<&Value> {
        self.line.get("proto_names")
    }
}

pub(crate) fn all() -> Vec<Vector> {
    include_str!("../data/vectors.jsonl")
        .lines()
        .map(|line| Vector {
            line: serde_json::from_str(line).unwrap(),
        })
        .collect()
}

fn hex(text: &Value) -> Vec<u8> {
    text.as_str()
        .unwrap()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn every_message_has_vectors() {
    let vectors = all();
    let tested: BTreeSet<_> = vectors.iter().map(Vector::message).collect();
    let kinds = kinds::all();
    let ours: BTreeSet<_> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    assert_eq!(tested, ours);
    assert_eq!(ours.len(), 29);
}

#[test]
fn what_others_encode_is_encoded_again_byte_for_byte() {
    let vectors = all();
    for kind in kinds::all() {
        for vector in vectors
            .iter()
            .filter(|vector| vector.message() == kind.name)
        {
            let again = (kind.again)(&vector.bytes());
            assert_eq!(
                again,
                Ok(vector.encoded()),
                "{} {}",
                kind.name,
                vector.case()
            );
        }
    }
}
