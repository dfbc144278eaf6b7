use std::fmt;

use serde::{Deserializer, Serializer, de};

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads and writes a `u64` number of bytes as text such as `16MiB`; for
/// `#[serde(with = "HumanSize")]`.
///
/// A text is a whole number and a unit: `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`,
/// `GiB`, `TiB` (powers of 1024). A bare number counts bytes.
///
/// ```
/// use cqi_config::HumanSize;
///
/// assert_eq!(HumanSize::parse("16MiB").unwrap(), 16 * 1024 * 1024);
/// assert_eq!(HumanSize::format(16 * 1024 * 1024), "16MiB");
/// assert!(HumanSize::parse("16 megs").is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HumanSize;

impl HumanSize {
    /// What a text may be, for messages.
    pub(crate) const ALLOWED: &str = "a size such as 512KiB, 16MiB or 1GB";

    /// Reads a size in bytes.
    ///
    /// # Errors
    /// `InvalidInput` when the text is not a size; the message says what is allowed.
    pub fn parse(text: &str) -> cqi_errors::Result<u64> {
        Self::read(text).ok_or_else(|| {
            cqi_errors::Error::invalid_input("size", format!("expected {}", Self::ALLOWED))
        })
    }

    /// Writes a size with the largest unit that keeps it whole.
    #[must_use]
    pub fn format(bytes: u64) -> String {
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        format!("{}{unit}", bytes / factor)
    }

    pub(crate) fn read(text: &str) -> Option<u64> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim_start() {
            "" => 1,
            "KB" => 1_000,
            unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    }

    /// Writes a size for serde.
    ///
    /// # Errors
    /// Only the serializer's own.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Self::format(*bytes))
    }

    /// Reads a size for serde.
    ///
    /// # Errors
    /// The deserializer's, when the value is neither a size nor a number of bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HumanSize::ALLOWED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        HumanSize::read(text)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &HumanSize::ALLOWED))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &HumanSize::ALLOWED))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for HumanSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "format": "human-size",
            "pattern": r"^\s*[0-9]+\s*([kKMGT]B|[KMGT]iB|B)?\s*$",
            "minimum": 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clear_forms_are_read() {
        let read = |text| HumanSize::read(text).unwrap();
        assert_eq!(read("0"), 0);
        assert_eq!(read("1024"), 1024);
        assert_eq!(read("7 B"), 7);
        assert_eq!(read("3KiB"), 3 << 10);
        assert_eq!(read("16MiB"), 16 << 20);
        assert_eq!(read("2kB"), 2000);
        assert_eq!(read("2KB"), 2000);
        assert_eq!(read("1 GB"), 1_000_000_000);
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "16M",
            "16mib",
            "1e3",
            "16 megs",
            "1 2MB",
            "99999999999999999999",
            "17179869185TiB",
            "１MB",
        ] {
            assert_eq!(HumanSize::read(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: u64) {
            prop_assert_eq!(HumanSize::read(&HumanSize::format(bytes)), Some(bytes));
        }

        #[test]
        fn what_is_read_is_written_shortest(number in 1u64..1000, unit in 0..UNITS.len()) {
            let bytes = number * UNITS[unit].1;
            prop_assert_eq!(HumanSize::read(&HumanSize::format(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|[0-9]*[kKMGTiB ]*") {
            let _ = HumanSize::read(&text);
        }
    }
}
