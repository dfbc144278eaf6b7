use std::fmt;
use std::time::Duration;

use serde::{Deserializer, Serializer, de};

/// The longest duration a setting takes: a century, far from what overflows a clock.
const MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Longer texts and numbers are refused unread: near `u64::MAX` seconds, humantime 2.4 panics.
const MAX_TEXT: usize = 64;
const MAX_DIGITS: usize = 13;

const UNITS: [&str; 8] = ["ns", "us", "µs", "ms", "s", "m", "h", "d"];

/// Reads and writes a [`Duration`] as text such as `30s`; for `#[serde(with = "HumanDuration")]`.
///
/// A text is a series of numbers with units: `ns`, `us`, `ms`, `s`, `m` (minutes), `h` and `d`, such
/// as `500ms`, `1.5h` or `1h 30m`; at most 36500d. A number without a unit is refused.
///
/// ```
/// use std::time::Duration;
/// use cqi_config::HumanDuration;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, Serialize)]
/// struct Polling {
///     #[serde(with = "HumanDuration")]
///     interval: Duration,
/// }
///
/// assert_eq!(HumanDuration::parse("1m 30s").unwrap(), Duration::from_secs(90));
/// assert_eq!(HumanDuration::format(Duration::from_secs(90)), "1m 30s");
/// assert!(HumanDuration::parse("30").is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration;

impl HumanDuration {
    /// What a text may be, for messages.
    pub(crate) const ALLOWED: &str = "a duration such as 500ms, 30s, 5m or 1h 30m";

    /// Reads a duration.
    ///
    /// # Errors
    /// `InvalidInput` when the text is not a duration; the message says what is allowed.
    pub fn parse(text: &str) -> cqi_errors::Result<Duration> {
        Self::read(text).ok_or_else(|| {
            cqi_errors::Error::invalid_input("duration", format!("expected {}", Self::ALLOWED))
        })
    }

    /// Writes a duration, so that [`parse`](Self::parse) gives the same one back.
    #[must_use]
    pub fn format(duration: Duration) -> String {
        if duration < Duration::from_secs(86_400) {
            return humantime::format_duration(duration).to_string();
        }
        // humantime goes on with months of 30.44 days, which nobody means.
        let (days, rest) = (duration.as_secs() / 86_400, duration.as_secs() % 86_400);
        let rest = Duration::new(rest, duration.subsec_nanos());
        match rest.is_zero() {
            true => format!("{days}d"),
            false => format!("{days}d {}", humantime::format_duration(rest)),
        }
    }

    pub(crate) fn read(text: &str) -> Option<Duration> {
        let mut units = text
            .split(|c: char| !c.is_alphabetic())
            .filter(|unit| !unit.is_empty())
            .peekable();
        units.peek()?;
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        if text.len() > MAX_TEXT || numbers.any(|number| number.len() > MAX_DIGITS) {
            return None;
        }
        // humantime also knows "M" for a month, one shift key away from a minute.
        if !units.all(|unit| UNITS.contains(&unit)) {
            return None;
        }
        let duration = humantime::parse_duration(text).ok()?;
        (duration <= MAX).then_some(duration)
    }

    /// Writes a duration for serde.
    ///
    /// # Errors
    /// Only the serializer's own.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Self::format(*duration))
    }

    /// Reads a duration for serde.
    ///
    /// # Errors
    /// The deserializer's, when the value is no text or not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HumanDuration::ALLOWED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        HumanDuration::read(text)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &HumanDuration::ALLOWED))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "human-duration",
            "pattern": r"^\s*([0-9][0-9\s]*(\.[0-9]+)?\s*(ns|us|µs|ms|s|m|h|d)\s*)+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clear_forms_are_read() {
        let read = |text| HumanDuration::read(text).unwrap();
        assert_eq!(read("0s"), Duration::ZERO);
        assert_eq!(read("250ms"), Duration::from_millis(250));
        assert_eq!(read("1.5h"), Duration::from_secs(5400));
        assert_eq!(read("1h 30m"), Duration::from_secs(5400));
        assert_eq!(read("1h30m"), Duration::from_secs(5400));
        assert_eq!(read("2d"), Duration::from_secs(172_800));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            "0",
            "30",
            "s",
            "-5s",
            "5M",
            "1y",
            "1month",
            "1e3s",
            "5 parsecs",
            "1h-5m",
            "36501d",
            "99999999999999999999d",
            "∞s",
            "１s",
            "30s;",
            "30 sec",
            "213503982334601d 7h 15s 1000000000ns",
            "18446744073709551615s 1000000000ns",
        ] {
            assert_eq!(HumanDuration::read(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(secs in 0..=MAX.as_secs() - 1, nanos in 0u32..1_000_000_000) {
            let duration = Duration::new(secs, nanos);
            prop_assert_eq!(HumanDuration::read(&HumanDuration::format(duration)), Some(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|[0-9 .smhdun]*") {
            let _ = HumanDuration::read(&text);
        }
    }
}
