//! A moment as RFC 3339 text, for `#[serde(with = "timestamp")]`.

use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serializer, de};

pub(crate) const ALLOWED: &str = "a time such as 2027-01-31T00:00:00Z";

pub(crate) fn read(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

pub(crate) fn serialize<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&humantime::format_rfc3339(*time)),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SystemTime>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    match read(&text) {
        Some(time) => Ok(Some(time)),
        None => Err(de::Error::invalid_value(
            de::Unexpected::Str(&text),
            &ALLOWED,
        )),
    }
}

#[cfg(feature = "schema")]
pub(crate) struct Text;

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}
