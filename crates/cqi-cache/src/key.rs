use std::fmt::{self, Write};

/// The most bytes of a key that a log line or an error shows.
const SHOWN: usize = 128;

/// Room for a usual key, so that one allocation makes it.
const USUAL: usize = 48;

/// The name of a value: parts, escaped so that no two different lists of parts give one key.
///
/// Parts are joined with colons. What is not an unreserved character of
/// [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986#section-2.3) (letters, digits, `-`, `.`, `_`, `~`)
/// is percent-encoded, and an empty part is a lone `%`. So any text is safe as a part: it can neither
/// reach into another part, nor break a log line, nor choose the slot of a Redis Cluster.
///
/// `Display` and `Debug` show at most 128 bytes and say how long the key is;
/// [`as_str`](Key::as_str) is all of it.
///
/// ```
/// use cqi_cache::Key;
///
/// assert_eq!(Key::new("price").part("btc").part(7).as_str(), "price:btc:7");
/// assert_eq!(Key::new("asset").part("a:b*\n").part("").as_str(), "asset:a%3Ab%2A%0A:%");
/// assert_ne!(Key::new("a").part("b:c"), Key::new("a").part("b").part("c"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub struct Key {
    text: String,
}

impl Key {
    /// Begins a key, usually with what kind of thing the value is.
    ///
    /// # Panics
    /// Where the part's `Display` fails, as `to_string` does.
    pub fn new(part: impl fmt::Display) -> Self {
        let mut key = Self {
            text: String::with_capacity(USUAL),
        };
        key.push(part);
        key
    }

    /// Adds a part; any text will do, also an empty one.
    ///
    /// # Panics
    /// Where the part's `Display` fails, as `to_string` does.
    pub fn part(mut self, part: impl fmt::Display) -> Self {
        self.text.push(':');
        self.push(part);
        self
    }

    fn push(&mut self, part: impl fmt::Display) {
        let begin = self.text.len();
        let written = write!(Escaping(&mut self.text), "{part}");
        // What is cut short would be the key of other values too.
        assert!(written.is_ok(), "the Display of a key's part failed");
        if self.text.len() == begin {
            self.text.push('%');
        }
    }

    /// Returns the whole key, without the prefix of the settings.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Percent-encodes what is not an unreserved character of RFC 3986.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(at) = text.bytes().position(|byte| !is_unreserved(byte)) {
            let (safe, rest) = text.split_at(at);
            self.0.push_str(safe);
            // Encodes a character at a time: a str is cut only between those.
            let end = rest.chars().next().map_or(0, char::len_utf8);
            let (odd, rest) = rest.split_at(end);
            for byte in odd.bytes() {
                write!(self.0, "%{byte:02X}")?;
            }
            text = rest;
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text is ASCII, so it can be cut anywhere.
        match self.text.get(..SHOWN) {
            Some(head) if self.text.len() > SHOWN => {
                write!(f, "{head}… ({} bytes)", self.text.len())
            }
            _ => f.write_str(&self.text),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
