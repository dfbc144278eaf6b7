use std::fmt::{self, Write};

/// The name of a value: parts, escaped so that no two different lists of parts give one key.
///
/// ```
/// use cqi_cache::Key;
///
/// assert_eq!(Key::new("price").part("btc").part(7).to_string(), "price:btc:7");
/// assert_ne!(Key::new("a").part("b:c"), Key::new("a").part("b").part("c"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Key {
    text: String,
}

impl Key {
    /// Begins a key, usually with what kind of thing the value is.
    pub fn new(part: impl fmt::Display) -> Self {
        let mut key = Self {
            text: String::new(),
        };
        key.push(part);
        key
    }

    /// Adds a part; any text will do, also an empty one.
    pub fn part(mut self, part: impl fmt::Display) -> Self {
        self.text.push(':');
        self.push(part);
        self
    }

    fn push(&mut self, part: impl fmt::Display) {
        let begin = self.text.len();
        // Writing to a String does not fail.
        let _ = write!(Escaping(&mut self.text), "{part}");
        if self.text.len() == begin {
            self.text.push('%');
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Percent-encodes what is not an unreserved character of RFC 3986.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    self.0.push(char::from(byte));
                }
                _ => write!(self.0, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
