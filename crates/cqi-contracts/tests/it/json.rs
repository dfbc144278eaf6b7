//! The protobuf JSON mapping, against the specification and Google's implementation.

mod numbers;
mod objects;
mod times;
mod values;

use std::fmt::Debug;

use serde_json::Value;

use crate::{kinds, vectors};

/// The error of reading `text`.
fn refused<T: for<'de> serde::Deserialize<'de> + Debug>(text: &str) -> String {
    serde_json::from_str::<T>(text).unwrap_err().to_string()
}

/// Equal as JSON has it: 1 is 1.0.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            // Not side by side: a feature of serde_json decides whether members keep their order.
            let same = |(name, a)| b.get(name).is_some_and(|b| alike(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
}

#[test]
fn what_we_write_is_what_others_write() {
    let vectors = vectors::all();
    for kind in kinds::all() {
        for vector in vectors
            .iter()
            .filter(|vector| vector.message() == kind.name)
        {
            let ours = (kind.to_json)(&vector.bytes()).unwrap();
            let ours: Value = serde_json::from_str(&ours).unwrap();
            let (case, theirs) = (vector.case(), vector.json());
            assert!(
                alike(&ours, theirs),
                "{} {case}\nours:   {ours}\ntheirs: {theirs}",
                kind.name
            );
        }
    }
}

#[test]
fn what_others_write_is_what_we_read() {
    let vectors = vectors::all();
    for kind in kinds::all() {
        for vector in vectors
            .iter()
            .filter(|vector| vector.message() == kind.name)
        {
            for json in [Some(vector.json()), vector.proto_names()]
                .into_iter()
                .flatten()
            {
                let read = (kind.from_json)(&json.to_string());
                assert_eq!(
                    read.unwrap(),
                    vector.encoded(),
                    "{} {}",
                    kind.name,
                    vector.case()
                );
            }
        }
    }
}
