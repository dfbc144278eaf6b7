use cqi_contracts::assets::v1::AssetDeployment;
use cqi_contracts::events::v1::OrderPlaced;
use cqi_contracts::markets::v1::{Price, Vwap};
use cqi_contracts::venues::v1::{OrderSide, OrderStatus};
use proptest::prelude::*;

use super::refused;

fn value(json: &str) -> Option<f64> {
    serde_json::from_str::<Price>(&format!(r#"{{"value":{json}}}"#))
        .ok()?
        .value
}

fn trades(json: &str) -> Option<i64> {
    serde_json::from_str::<Vwap>(&format!(r#"{{"tradeCount":{json}}}"#))
        .ok()?
        .trade_count
}

fn decimals(json: &str) -> Option<i32> {
    serde_json::from_str::<AssetDeployment>(&format!(r#"{{"decimals":{json}}}"#))
        .ok()?
        .decimals
}

fn side(json: &str) -> Option<i32> {
    serde_json::from_str::<OrderPlaced>(&format!(r#"{{"side":{json}}}"#))
        .ok()?
        .side
}

#[test]
fn doubles_are_numbers_bare_or_in_strings() {
    for (json, number) in [
        ("1.5", 1.5),
        ("\"1.5\"", 1.5),
        ("-2", -2.0),
        ("\"1e3\"", 1000.0),
        ("18446744073709551615", 1.8446744073709552e19),
    ] {
        assert_eq!(value(json), Some(number), "{json}");
    }
    for json in [
        "\"inf\"",
        "\"nan\"",
        "\"+1\"",
        "\" 1\"",
        "\"1 \"",
        "\"\"",
        "\"1e400\"",
        "\"-Inf\"",
        "1e400",
        "true",
        "[1]",
        "\"0x10\"",
        "\"1_0\"",
    ] {
        assert_eq!(value(json), None, "{json}");
    }
}

#[test]
fn doubles_that_are_not_finite_have_names() {
    for (number, name) in [
        (f64::INFINITY, "\"Infinity\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
    ] {
        assert_eq!(value(name), Some(number));
        let price = Price {
            value: Some(number),
            ..Price::default()
        };
        assert_eq!(
            serde_json::to_string(&price).unwrap(),
            format!(r#"{{"value":{name}}}"#)
        );
    }
    assert!(value("\"NaN\"").unwrap().is_nan());
    let price = Price {
        value: Some(-f64::NAN),
        ..Price::default()
    };
    assert_eq!(serde_json::to_string(&price).unwrap(), r#"{"value":"NaN"}"#);
}

#[test]
fn long_integers_are_written_as_strings_and_read_as_both() {
    let vwap = Vwap {
        trade_count: Some(i64::MAX),
        ..Vwap::default()
    };
    let json = serde_json::to_string(&vwap).unwrap();
    assert_eq!(json, r#"{"tradeCount":"9223372036854775807"}"#);
    for (json, number) in [
        ("9223372036854775807", i64::MAX),
        ("\"-9223372036854775808\"", i64::MIN),
        ("12.0", 12),
        ("\"1e2\"", 100),
        ("1e2", 100),
        ("-0", 0),
    ] {
        assert_eq!(trades(json), Some(number), "{json}");
    }
    for json in [
        "9223372036854775808",
        "\"9223372036854775808\"",
        "1.5",
        "\"1.5\"",
        "\"+1\"",
        "\"+1.0\"",
        "\"\"",
        "\"ten\"",
        "1e300",
        "9.007199254740994e15",
        "true",
    ] {
        assert_eq!(trades(json), None, "{json}");
    }
}

#[test]
fn integers_are_numbers_in_their_range() {
    for (json, number) in [
        ("2147483647", i32::MAX),
        ("-2147483648", i32::MIN),
        ("\"18\"", 18),
        ("2147483647.0", i32::MAX),
        ("1e1", 10),
    ] {
        assert_eq!(decimals(json), Some(number), "{json}");
    }
    for json in [
        "2147483648",
        "-2147483649",
        "\"2147483648\"",
        "0.5",
        "null",
        "[]",
    ] {
        assert_eq!(decimals(json), None, "{json}");
    }
    let message = refused::<AssetDeployment>(r#"{"decimals":2147483648}"#);
    assert!(
        message.starts_with("2147483648 is out of range"),
        "{message}"
    );
}

#[test]
fn enums_are_names_and_read_as_numbers_too() {
    for (json, number) in [
        ("\"ORDER_SIDE_SELL\"", 2),
        ("2", 2),
        ("2.0", 2),
        ("1000", 1000),
        ("-1", -1),
    ] {
        assert_eq!(side(json), Some(number), "{json}");
    }
    for json in [
        "\"SELL\"",
        "\"order_side_sell\"",
        "\"2\"",
        "2.5",
        "2147483648",
        "true",
    ] {
        assert_eq!(side(json), None, "{json}");
    }
    let newer = OrderPlaced {
        side: Some(1000),
        ..OrderPlaced::default()
    };
    assert_eq!(serde_json::to_string(&newer).unwrap(), r#"{"side":1000}"#);
    let message = refused::<OrderPlaced>(r#"{"side":"SELL"}"#);
    let expected = "invalid value: string \"SELL\", expected the name or number of a value of cqc.venues.v1.OrderSide";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn an_enum_by_itself_has_the_same_json() {
    assert_eq!(
        serde_json::to_string(&OrderSide::Buy).unwrap(),
        "\"ORDER_SIDE_BUY\""
    );
    let statuses: Vec<OrderStatus> = serde_json::from_str(r#"["ORDER_STATUS_FILLED", 4]"#).unwrap();
    assert_eq!(
        statuses,
        [OrderStatus::Filled, OrderStatus::PartiallyFilled]
    );
    let message = refused::<OrderSide>("1000");
    assert!(
        message.starts_with("1000 is no value of cqc.venues.v1.OrderSide"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn every_double_survives(number in any::<f64>()) {
        let price = Price { value: Some(number), ..Price::default() };
        let read: Price = serde_json::from_str(&serde_json::to_string(&price).unwrap()).unwrap();
        let back = read.value.unwrap();
        prop_assert!(back.to_bits() == number.to_bits() || back.is_nan() && number.is_nan());
    }

    #[test]
    fn every_long_integer_survives(number in any::<i64>()) {
        let vwap = Vwap { trade_count: Some(number), ..Vwap::default() };
        let read: Vwap = serde_json::from_str(&serde_json::to_string(&vwap).unwrap()).unwrap();
        prop_assert_eq!(read, vwap);
        prop_assert_eq!(trades(&number.to_string()), Some(number));
    }
}
