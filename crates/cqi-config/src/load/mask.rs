//! Hides passwords that were written where no secret belongs, such as in a URL.

use serde_json::Value as Json;

use crate::secret::REDACTED;

/// What a name ends in whose value is hidden.
const NAMES: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "secret",
    "apikey",
    "api_key",
    "api-key",
];

/// Returns a text without `user:password@` and without the values of `password=` and the like.
pub(super) fn masked(text: &str) -> String {
    without_values(&without_userinfo(text))
}

/// Masks the texts in a value, and hides what stands under the name of a secret.
pub(super) fn masked_json(value: Json) -> Json {
    match value {
        Json::String(text) => masked(&text).into(),
        Json::Array(items) => items.into_iter().map(masked_json).collect(),
        Json::Object(entries) => {
            let masked = entries.into_iter().map(|(key, value)| {
                let hidden = is_secret(&key.to_ascii_lowercase()) && !value.is_null();
                let value = if hidden {
                    REDACTED.into()
                } else {
                    masked_json(value)
                };
                (masked(&key), value)
            });
            masked.collect()
        }
        other => other,
    }
}

fn is_secret(name: &str) -> bool {
    NAMES.iter().any(|secret| name.ends_with(secret))
}

/// A password that should have been escaped may hold any character, so all before the last `@` goes.
fn without_userinfo(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    let scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match before.split_once("://") {
        Some((name, _)) if name.chars().all(scheme) => format!("{name}://{REDACTED}@{after}"),
        _ if before.contains(':') => format!("{REDACTED}@{after}"),
        _ => text.to_owned(),
    }
}

fn without_values(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((name, value)) = rest.split_once('=') {
        shown.push_str(name);
        shown.push('=');
        rest = value;
        let name = name.trim_end().trim_end_matches(['"', '\'']);
        if is_secret(&name.to_ascii_lowercase()) {
            rest = after_value(value.trim_start());
            shown.push_str(REDACTED);
        }
    }
    shown.push_str(rest);
    shown
}

fn after_value(text: &str) -> &str {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let end = match quote {
        // A quote inside may be escaped in any way.
        Some(quote) => text.rfind(quote).filter(|end| *end > 0).map(|end| end + 1),
        None => text.find(|c: char| c.is_whitespace() || matches!(c, '&' | ';')),
    };
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn passwords_are_hidden_in_each_form() {
        for (text, shown) in [
            ("postgres://u:sw0rd@db:1/x", "postgres://[redacted]@db:1/x"),
            ("redis://:sw0rd@h", "redis://[redacted]@h"),
            ("https://sw0rd@h/p", "https://[redacted]@h/p"),
            ("amqp://u:sw0/r@d@h", "amqp://[redacted]@h"),
            ("see amqp://u:sw0rd@h", "[redacted]@h"),
            ("u:sw0rd@h", "[redacted]@h"),
            (
                "host=h password=sw0rd user=u",
                "host=h password=[redacted] user=u",
            ),
            ("Host=h;Pwd=sw0rd;Port=1", "Host=h;Pwd=[redacted];Port=1"),
            ("PASSWORD = 'sw0 rd' a=b", "PASSWORD =[redacted] a=b"),
            ("password='sw0 rd", "password=[redacted]"),
            (
                "http://h/?access_token=sw0rd&x=1",
                "http://h/?access_token=[redacted]&x=1",
            ),
            (
                "client_secret=sw0rd;api_key=sw0rd",
                "client_secret=[redacted];api_key=[redacted]",
            ),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn other_texts_stay() {
        for text in [
            "",
            "db-1,db-2:5433",
            "me@example.com",
            "https://h/p?x=1",
            "max_tokens=5",
            "info,cqi=debug",
            "token",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_password_survives(before in "[a-z =;&]{0,5}", after in "[&; ][a-z=]{0,5}") {
            for form in ["password=", "u:", "postgres://u:"] {
                let end = if form.ends_with(':') { "@h" } else { "" };
                let text = format!("{before}{form}SW0RD{end}{after}");
                prop_assert!(!masked(&text).contains("SW0RD"), "{}", text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[=@:/'\"; ]|pwd|token)*") {
            let _ = masked(&text);
        }
    }
}
