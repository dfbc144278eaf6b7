use cqi_contracts::markets::v1::Price;
use cqi_contracts::prost_types::Timestamp;
use proptest::prelude::*;

use super::refused;

fn read(text: &str) -> Option<(i64, i32)> {
    let json = serde_json::json!({"timestamp": text}).to_string();
    let time = serde_json::from_str::<Price>(&json).ok()?.timestamp?;
    Some((time.seconds, time.nanos))
}

fn write(seconds: i64, nanos: i32) -> Result<String, String> {
    let price = Price {
        timestamp: Some(Timestamp { seconds, nanos }),
        ..Price::default()
    };
    let json = serde_json::to_value(&price).map_err(|error| error.to_string())?;
    Ok(json["timestamp"].as_str().unwrap().to_owned())
}

#[test]
fn fractions_have_three_six_or_nine_digits() {
    for (nanos, text) in [
        (0, "2025-11-23T06:00:00Z"),
        (500_000_000, "2025-11-23T06:00:00.500Z"),
        (1_000, "2025-11-23T06:00:00.000001Z"),
        (1, "2025-11-23T06:00:00.000000001Z"),
    ] {
        assert_eq!(write(1_763_877_600, nanos).as_deref(), Ok(text));
        assert_eq!(read(text), Some((1_763_877_600, nanos)));
    }
}

#[test]
fn offsets_and_any_number_of_digits_are_read() {
    for (text, time) in [
        ("2025-11-23T08:30:00+02:30", (1_763_877_600, 0)),
        ("2025-11-22T23:15:00-06:45", (1_763_877_600, 0)),
        ("2025-11-23T06:00:00-00:00", (1_763_877_600, 0)),
        ("2025-11-23T06:00:00.5Z", (1_763_877_600, 500_000_000)),
        ("2025-11-23T06:00:00.1234Z", (1_763_877_600, 123_400_000)),
        ("2024-02-29T00:00:00Z", (1_709_164_800, 0)),
        ("1969-12-31T23:59:59.999Z", (-1, 999_000_000)),
        ("0001-01-01T00:00:00Z", (-62_135_596_800, 0)),
        (
            "9999-12-31T23:59:59.999999999Z",
            (253_402_300_799, 999_999_999),
        ),
    ] {
        assert_eq!(read(text), Some(time), "{text}");
    }
}

#[test]
fn what_is_no_time_of_rfc_3339_is_refused() {
    for text in [
        "",
        "2025-11-23",
        "2025-11-23T06:00:00",
        "2025-11-23 06:00:00Z",
        "2025-11-23t06:00:00Z",
        "2025-11-23T06:00:00z",
        "2025-11-23T06:00Z",
        "2025-11-23T06:00:00.Z",
        "2025-11-23T06:00:00.1234567890Z",
        "2025-11-23T06:00:00+02",
        "2025-11-23T06:00:00+0230",
        "2025-11-23T06:00:00 +02:30",
        "2025-02-29T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-01-00T00:00:00Z",
        "2025-11-23T24:00:00Z",
        "2025-11-23T06:00:60Z",
        "2025-11-23T06:00:00+24:00",
        "2025-11-23T06:00:00+02:60",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "+2025-11-23T06:00:00Z",
        "12025-11-23T06:00:00Z",
        "２025-11-23T06:00:00Z",
        "2025-11-23T06:00:0０Z",
        " 2025-11-23T06:00:00Z",
        "2025-11-23T06:00:00Z ",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    let message = refused::<Price>(r#"{"timestamp":"yesterday"}"#);
    let expected = "invalid value: string \"yesterday\", expected a time of the years 1 to 9999 as in RFC 3339";
    assert!(message.starts_with(expected), "{message}");
    refused::<Price>(r#"{"timestamp":1763877600}"#);
    refused::<Price>(r#"{"timestamp":{"seconds":1}}"#);
}

#[test]
fn a_time_that_the_format_does_not_have_is_an_error() {
    for (seconds, nanos) in [
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (0, -1),
        (0, 1_000_000_000),
        (i64::MAX, i32::MAX),
        (i64::MIN, i32::MIN),
    ] {
        let error = write(seconds, nanos).unwrap_err();
        assert_eq!(
            error,
            format!("the timestamp {seconds} s {nanos} ns is outside of the years 1 to 9999")
        );
    }
}

proptest! {
    #[test]
    fn every_time_survives(seconds in -62_135_596_800..=253_402_300_799_i64, nanos in 0..1_000_000_000_i32) {
        prop_assert_eq!(read(&write(seconds, nanos).unwrap()), Some((seconds, nanos)));
    }
}
