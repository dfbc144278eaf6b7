use cqi_contracts::assets::v1::{AssetGroup, AssetGroupMember};
use cqi_contracts::events::v1::PriceUpdated;
use cqi_contracts::markets::v1::Price;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::refused;
use crate::kinds;

#[test]
fn unset_fields_are_left_out_and_zeros_are_not() {
    assert_eq!(serde_json::to_string(&Price::default()).unwrap(), "{}");
    let zero = Price {
        value: Some(0.0),
        venue_id: Some(String::new()),
        ..Price::default()
    };
    let json = serde_json::to_string(&zero).unwrap();
    assert_eq!(json, r#"{"value":0.0,"venueId":""}"#);
    assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), zero);
}

#[test]
fn null_is_unset() {
    let json = r#"{"price":null,"timestamp":null,"source":null,"isSignificant":null}"#;
    assert_eq!(
        serde_json::from_str::<PriceUpdated>(json).unwrap(),
        PriceUpdated::default()
    );
    let json = r#"{"members":null,"metadata":null}"#;
    assert_eq!(
        serde_json::from_str::<AssetGroup>(json).unwrap(),
        AssetGroup::default()
    );
}

#[test]
fn lists_are_arrays_of_messages() {
    let member = AssetGroupMember {
        weight: Some(0.5),
        ..AssetGroupMember::default()
    };
    let group = AssetGroup {
        members: vec![member.clone(), member],
        ..AssetGroup::default()
    };
    let json = serde_json::to_string(&group).unwrap();
    assert_eq!(json, r#"{"members":[{"weight":0.5},{"weight":0.5}]}"#);
    assert_eq!(serde_json::from_str::<AssetGroup>(&json).unwrap(), group);
    refused::<AssetGroup>(r#"{"members":[null]}"#);
    refused::<AssetGroup>(r#"{"members":{}}"#);
}

#[test]
fn both_names_of_a_field_are_read_even_escaped() {
    for json in [
        r#"{"marketId":"m"}"#,
        r#"{"market_id":"m"}"#,
        r#"{"market\u0049d":"m"}"#,
    ] {
        let price: Price = serde_json::from_str(json).unwrap();
        assert_eq!(price.market_id(), "m");
    }
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() {
    let message = refused::<PriceUpdated>(r#"{"price":{"valu":1}}"#);
    let expected = "unknown field `valu`, expected one of `marketId`, `value`, `timestamp`";
    assert!(message.starts_with(expected), "{message}");
    refused::<Price>(r#"{"MarketId":"m"}"#);
}

#[test]
fn a_name_may_be_there_once() {
    for json in [
        r#"{"value":1,"value":2}"#,
        r#"{"marketId":"a","market_id":"b"}"#,
    ] {
        let message = refused::<Price>(json);
        assert!(message.starts_with("duplicate field"), "{message}");
    }
}

#[test]
fn a_message_is_an_object_and_nothing_else() {
    for json in ["[]", r#"["m", 1.5]"#, "\"m\"", "1", "null", "true"] {
        let message = refused::<Price>(json);
        assert!(
            message.contains("an object of type cqc.markets.v1.Price"),
            "{message}"
        );
    }
}

#[test]
fn json_that_is_already_parsed_is_read_too() {
    let value =
        serde_json::json!({"price": {"value": 1, "market_id": "m"}, "changePercent": "2.5"});
    let event: PriceUpdated = serde_json::from_value(value).unwrap();
    assert_eq!(
        (event.price.unwrap().value(), event.change_percent),
        (1.0, Some(2.5))
    );
    let value = serde_json::to_value(Price {
        value: Some(f64::NAN),
        ..Price::default()
    })
    .unwrap();
    assert_eq!(value, serde_json::json!({"value": "NaN"}));
}

/// Any JSON, under names that some messages have.
fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|[+-][0-2][0-9]:[0-6][0-9])?"
            .prop_map(Value::from),
    ];
    let name = proptest::sample::select(vec![
        "asset",
        "assetId",
        "asset_id",
        "decimals",
        "market",
        "members",
        "metadata",
        "order",
        "price",
        "side",
        "status",
        "timestamp",
        "tradeCount",
        "value",
    ]);
    scalar.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect::<Map<_, _>>(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(json in any_json()) {
        for kind in kinds::all() {
            if let Ok(encoded) = (kind.from_json)(&json.to_string()) {
                prop_assert_eq!((kind.again)(&encoded), Ok(encoded.clone()));
                let json = (kind.to_json)(&encoded).unwrap();
                prop_assert_eq!((kind.from_json)(&json).unwrap(), encoded);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"a-z0-9.eE+\\- ]{0,64}") {
        for kind in kinds::all() {
            let _ = (kind.from_json)(&text);
        }
    }
}
