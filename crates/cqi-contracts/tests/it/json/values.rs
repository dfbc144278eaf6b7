use cqi_contracts::assets::v1::Asset;
use cqi_contracts::events::v1::AssetCreated;
use cqi_contracts::prost::Message;
use cqi_contracts::prost_types::value::Kind;
use cqi_contracts::prost_types::{Struct, Value};

use super::refused;

fn asset(kind: Option<Kind>) -> Asset {
    let fields = [("it".to_owned(), Value { kind })].into();
    Asset {
        metadata: Some(Struct { fields }),
        ..Asset::default()
    }
}

#[test]
fn free_form_data_is_the_json_that_it_stands_for() {
    let json =
        r#"{"metadata":{"a":null,"b":true,"c":1.5,"d":"text","e":[1.0,[],{}],"f":{"g":null}}}"#;
    let asset: Asset = serde_json::from_str(json).unwrap();
    let kind = |name: &str| {
        asset.metadata.as_ref().unwrap().fields[name]
            .kind
            .clone()
            .unwrap()
    };
    assert_eq!(kind("a"), Kind::NullValue(0));
    assert_eq!(kind("c"), Kind::NumberValue(1.5));
    assert_eq!(kind("d"), Kind::StringValue("text".to_owned()));
    assert_eq!(serde_json::to_string(&asset).unwrap(), json);
}

#[test]
fn escapes_and_integers_are_read() {
    let json = r#"{"metadata":{"it":["\u00e9", -3, 18446744073709551615]}}"#;
    let asset: Asset = serde_json::from_str(json).unwrap();
    let json = serde_json::to_value(&asset).unwrap();
    assert_eq!(
        json["metadata"]["it"],
        serde_json::json!(["é", -3.0, 1.8446744073709552e19])
    );
}

#[test]
fn what_json_cannot_say_is_an_error() {
    for (kind, message) in [
        (
            Some(Kind::NumberValue(f64::NAN)),
            "a google.protobuf.Value of NaN has no JSON",
        ),
        (
            Some(Kind::NumberValue(f64::INFINITY)),
            "a google.protobuf.Value of inf has no JSON",
        ),
        (None, "a google.protobuf.Value without a kind has no JSON"),
    ] {
        let error = serde_json::to_string(&asset(kind)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn free_form_data_is_an_object() {
    for json in ["[]", "1", "\"text\"", "true"] {
        let message = refused::<Asset>(&format!(r#"{{"metadata":{json}}}"#));
        assert!(message.contains("expected an object"), "{message}");
    }
}

#[test]
fn a_name_may_be_there_once_at_every_depth() {
    for json in [
        r#"{"metadata":{"a":1,"a":2}}"#,
        r#"{"metadata":{"it":[{"a":null,"\u0061":null}]}}"#,
    ] {
        let message = refused::<Asset>(json);
        assert!(
            message.starts_with("duplicate name \"a\" at line 1"),
            "{message}"
        );
    }
}

/// Decoders of the binary form stop at a hundred levels: such an event would be poison to its consumers.
#[test]
fn what_could_not_be_decoded_again_is_refused() {
    let objects = |depth: usize| format!("{}1{}", r#"{"it":"#.repeat(depth), "}".repeat(depth));
    let arrays = |depth: usize| {
        format!(
            "{{\"it\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    let event = |metadata: String| format!(r#"{{"asset":{{"metadata":{metadata}}}}}"#);
    for deepest in [objects(32), arrays(32)] {
        let event: AssetCreated = serde_json::from_str(&event(deepest)).unwrap();
        assert_eq!(
            AssetCreated::decode(event.encode_to_vec().as_slice()),
            Ok(event)
        );
    }
    for deeper in [objects(33), arrays(33), arrays(100)] {
        let message = refused::<AssetCreated>(&event(deeper));
        assert!(
            message.starts_with("more than 32 objects and arrays deep"),
            "{message}"
        );
    }
}
