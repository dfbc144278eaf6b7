//! Headers that are logged because somebody chose them.

use std::cell::RefCell;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest value that is logged whole, in bytes.
const LONGEST: usize = 256;

/// The most buffers that a thread keeps for the requests to come.
const SPARE: usize = 64;

thread_local! {
    static SPARES: RefCell<Vec<Vec<Captured>>> = const { RefCell::new(Vec::new()) };
}

/// How a word in the name of a header ends whose value is a credential, whatever is chosen.
const CREDENTIALS: [&str; 9] = [
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "password",
    "secret",
    "token",
];

/// A chosen header.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    name: HeaderName,
    redacted: bool,
}

impl Chosen {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name: HeaderName::from_static(name),
            redacted: is_credential(name),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.name.as_str()
    }

    fn capture(&self, headers: &HeaderMap) -> Captured {
        let value = headers.get(&self.name)?;
        Some(if self.redacted || value.is_sensitive() {
            HeaderValue::from_static("[redacted]")
        } else {
            value.clone()
        })
    }
}

fn is_credential(name: &str) -> bool {
    let is_key = ["api-key", "api_key"].iter().any(|key| name.contains(key));
    let mut words = name.split(['-', '_', '.']);
    is_key || words.any(|word| CREDENTIALS.iter().any(|end| word.ends_with(end)))
}

/// The value of a chosen header, if it was sent.
pub(super) type Captured = Option<HeaderValue>;

/// The values of all chosen headers of a request and its response, in their order; the buffer goes
/// from request to request.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<Captured>);

impl Values {
    /// Captures values; where none are chosen, nothing happens.
    pub(super) fn capture(&mut self, chosen: &[Chosen], headers: &HeaderMap) {
        if chosen.is_empty() {
            return;
        }
        if self.0.capacity() == 0 {
            let spare = SPARES.try_with(|spares| spares.try_borrow_mut().ok()?.pop());
            self.0 = spare.ok().flatten().unwrap_or_default();
        }
        self.0
            .extend(chosen.iter().map(|header| header.capture(headers)));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<Text<'_>>> {
        self.0.iter().map(|value| {
            let bytes = value.as_ref()?.as_bytes();
            Some(Text::new(bytes, LONGEST))
        })
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        if self.0.capacity() == 0 {
            return;
        }
        self.0.clear();
        let buffer = std::mem::take(&mut self.0);
        let _ = SPARES.try_with(|spares| {
            if let Ok(mut spares) = spares.try_borrow_mut()
                && spares.len() < SPARE
            {
                spares.push(buffer);
            }
        });
    }
}

/// What a client sent, as text of bounded length: bytes that are no UTF-8 are replaced.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    cut: bool,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8], longest: usize) -> Self {
        let cut = bytes.len() > longest;
        let mut end = bytes.len().min(longest);
        if cut {
            // A character of up to four bytes is not torn.
            let starts = |&end: &usize| bytes[end] & 0xc0 != 0x80;
            end = (end.saturating_sub(3)..=end)
                .rev()
                .find(starts)
                .unwrap_or(end);
        }
        Self {
            bytes: &bytes[..end],
            cut,
        }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        f.write_str(if self.cut { "…[truncated]" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_the_words_of_their_names() {
        for name in [
            "authorization",
            "proxy-authorization",
            "set-cookie",
            "x-api-key",
            "x-goog-api-key",
            "apikey",
            "x-access-token",
            "x-amzn-oidc-accesstoken",
            "x-goog-iap-jwt-assertion",
            "client_secret",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in [
            "user-agent",
            "idempotency-key",
            "x-ratelimit-remaining-tokens",
            "x-auth-request-email",
        ] {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let shown = |text: &str, longest| Text::new(text.as_bytes(), longest).to_string();
        assert_eq!(shown("plain", 5), "plain");
        assert_eq!(shown("plain", 4), "plai…[truncated]");
        assert_eq!(shown("aé", 2), "a…[truncated]");
        assert_eq!(shown("a😀b", 4), "a…[truncated]");
        assert_eq!(shown("a😀b", 5), "a😀…[truncated]");
        assert_eq!(
            Text::new(b"a\xff\xfeb", 9).to_string(),
            "a\u{fffd}\u{fffd}b"
        );
        assert_eq!(
            Text::new(&[0x80; 9], 2).to_string(),
            "\u{fffd}\u{fffd}…[truncated]",
        );
    }
}
