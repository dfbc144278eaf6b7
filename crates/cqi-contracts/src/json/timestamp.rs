//! `google.protobuf.Timestamp`: RFC 3339 in UTC, from year 1 to 9999.

use std::fmt;
use std::ops::RangeInclusive;

use prost_types::Timestamp;
use serde::de::{Error, Unexpected, Visitor};
use serde::ser::Error as _;
use serde::{Deserializer, Serializer};

use super::shape::Shape;

/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, all that the format has.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A time: `2026-11-23T06:00:00.250Z`, with 0, 3, 6 or 9 digits after the point; any offset is read.
pub(super) struct Time;

impl Shape for Time {
    type Value = Timestamp;

    fn write<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        if SECONDS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos) {
            return to.collect_str(time);
        }
        let Timestamp { seconds, nanos } = time;
        Err(S::Error::custom(format_args!(
            "the timestamp {seconds} s {nanos} ns is outside of the years 1 to 9999"
        )))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        from.deserialize_str(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time of the years 1 to 9999 as in RFC 3339, like 2026-11-23T06:00:00Z")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
        // Timestamp's own parser takes more: dates alone, spaces, no offset.
        Some(text)
            .filter(|text| is_rfc3339(text))
            .and_then(|text| text.parse::<Timestamp>().ok())
            .filter(|time| SECONDS.contains(&time.seconds))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Whether the text is written as RFC 3339 has it, in capitals and with at most nine digits after the point.
fn is_rfc3339(text: &str) -> bool {
    const DATE_TIME: &str = "0000-00-00T00:00:00";

    let Some((date_time, rest)) = text.split_at_checked(DATE_TIME.len()) else {
        return false;
    };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if !(1..=9).contains(&(fraction.len() - offset.len())) {
                return false;
            }
            offset
        }
        None => rest,
    };
    // Timestamp has no leap seconds, and its parser takes one for the second before.
    matches(date_time, DATE_TIME)
        && !date_time.ends_with("60")
        && (offset == "Z" || matches(offset, "+00:00") || matches(offset, "-00:00"))
}

/// Whether the text has a digit wherever the pattern has a 0, and is like it everywhere else.
fn matches(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, like)| {
            if like == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == like
            }
        })
}
